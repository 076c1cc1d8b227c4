// How a call is shown as a row, wherever calls are listed.
import {h} from '../dom.js';
import {count, milliseconds, money, time} from '../format.js';
import {t, word} from '../strings.js';
import {tag} from '../table.js';

export const STATUSES = ['ok', 'error', 'cancelled', 'truncated', 'expired', 'void'];

export function status_tag(row) {
    const kind = row.status === 'ok' ? 'good' : row.status === 'error' ? 'bad' : 'warn';

    return tag(kind, row.status === 'ok' ? word('status', 'ok') : `${word('status', row.status)} ${row.http_status || ''}`.trim());
}

/** "laptop" for a key of the reader's, else its id. */
export function key_name(keys, id) {
    return keys.find((k) => k.id === id)?.name ?? id;
}

/** base: the address of the calls' details; keys: the reader's own; all: everybody's calls, with who made them. */
export function call_columns({base, keys = [], all = false}) {
    return [
        {label: t('usage.time'), cell: (r) => h('a', {href: `#/${base}/${r.request_id}`}, time(r.created))},
        all ? {label: t('field.user'), cell: (r) => h('a', {href: `#/admin/users/${r.user_id}`, class: 'mono'}, r.user_id)} : null,
        {label: t('field.model'), cell: (r) => r.model},
        {label: t('field.key'), cell: (r) => key_name(keys, r.key_id)},
        {label: t('field.provider'), cell: (r) => r.provider},
        {label: t('field.status'), cell: status_tag},
        {label: t('usage.input'), num: true, cell: (r) => count(r.prompt_tokens)},
        {label: t('usage.output'), num: true, cell: (r) => count(r.completion_tokens)},
        {label: t('usage.latency'), num: true, cell: (r) => milliseconds(r.latency_ms)},
        {label: t('usage.cost'), num: true, cell: (r) => money(r.cost_usd)},
    ].filter(Boolean);
}
