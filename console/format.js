// How values are shown. Amounts are decimal strings from the API to the screen: never a floating-point number.
import {t} from './strings.js';

export const DASH = '–';

/** "1234.5" -> "$1,234.5"; every digit stays. */
export function money(amount) {
    if (amount === undefined || amount === null || amount === '') return DASH;
    const [, sign, whole, rest] = /^(-?)(\d+)(\.\d+)?$/.exec(amount) ?? [null, '', amount, ''];

    return `${sign === '-' ? '−' : ''}$${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${rest ?? ''}`;
}

export function count(n) {
    return n === undefined || n === null ? DASH : String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A limit, where 0 is none of its own. */
export function limit(n, none) {
    return n ? count(n) : none;
}

/** Unix seconds -> "2026-11-27 04:47:02", in UTC as the days of the bill are. */
export function time(seconds) {
    return seconds ? new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ') : DASH;
}

export function date(seconds) {
    return time(seconds).slice(0, 10);
}

/** Beginning of a day or hour as the API groups by it, for an axis or a row. */
export function period(rfc3339, hourly) {
    return hourly ? rfc3339.slice(0, 16).replace('T', ' ') : rfc3339.slice(0, 10);
}

export function milliseconds(ms) {
    if (ms < 1000) return `${ms} ms`;
    return ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

export function uptime(ms) {
    const minutes = Math.floor(ms / 60000),
        hours = Math.floor(minutes / 60),
        days = Math.floor(hours / 24);

    if (days) return t('time.days', {days, hours: hours % 24});
    return hours ? t('time.hours', {hours, minutes: minutes % 60}) : t('time.minutes', {minutes});
}

export function bytes(n) {
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let i = 0;

    for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
    return `${i ? n.toFixed(1) : n} ${units[i]}`;
}

export function list(items, none) {
    return items && items.length ? items.join(', ') : none;
}

export function now() {
    return Math.floor(Date.now() / 1000);
}

/** Order of two amounts, largest first; for sorting only, equal to the last digit that a double holds. */
export function dearest(a, b) {
    return Number(b.cost_usd) - Number(a.cost_usd);
}

/** A cell of a CSV file; a text that a spreadsheet would take for a formula is kept from being one. */
function csv_cell(value) {
    let text = String(value);

    if (/^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(rows) {
    return rows.map((row) => `${row.map(csv_cell).join(',')}\r\n`).join('');
}
