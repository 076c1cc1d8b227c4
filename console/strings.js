// Texts by key, in the language that the reader has chosen, or else the browser's.
import {en} from './strings_en.js';
import {zh} from './strings_zh.js';

const CHOSEN = 'console.language';
const tables = {en, zh};

export const languages = [
    ['en', 'English'],
    ['zh', '中文'],
];

function first() {
    const chosen = localStorage.getItem(CHOSEN);

    if (tables[chosen]) return chosen;
    return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

let now = first();

function mark() {
    document.documentElement.lang = now === 'zh' ? 'zh-CN' : 'en';
}

mark();

export function language() {
    return now;
}

export function choose(name) {
    now = name;
    localStorage.setItem(CHOSEN, name);
    mark();
}

/** t('key', {name: value}): `{name}` in the text becomes the value. */
export function t(key, values = {}) {
    const text = tables[now][key];

    if (text === undefined) throw new Error(`no such text: ${key}`);
    return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** A word of the API (a status, a kind) in the reader's language; itself when it is new here. */
export function word(kind, value) {
    return tables[now][`${kind}.${value}`] ?? value;
}
