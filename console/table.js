// Tables: one of given rows, and one that asks for the next page by the API's cursor.
import {announce, h} from './dom.js';
import {t} from './strings.js';

/*
 * A column: {label, cell(row) -> text or element, num: right-aligned figures, wide: may wrap}.
 * The box scrolls by itself, so that a wide table never widens the page; it can be scrolled by keyboard.
 */
function frame(caption, columns) {
    const body = h('tbody', {});
    const head = h(
        'tr',
        {},
        columns.map((c) =>
            h('th', {scope: 'col', class: c.num ? 'num' : null}, c.unseen ? h('span', {class: 'unseen'}, c.label) : c.label),
        ),
    );
    const table = h('table', {}, h('caption', {class: 'unseen'}, caption), h('thead', {}, head), body);
    const box = h('div', {class: 'scroll', role: 'region', 'aria-label': caption, tabindex: '0'}, table);

    return {box, body};
}

function line(columns, row) {
    const kind = (c) => [c.num && 'num', c.wide && 'wide', c.unseen && 'actions'].filter(Boolean).join(' ') || null;

    return h(
        'tr',
        {},
        columns.map((c) => h('td', {class: kind(c)}, c.cell(row))),
    );
}

export function empty(text) {
    return h('p', {class: 'empty'}, text);
}

export function table({caption, columns, rows, none}) {
    const {box, body} = frame(caption, columns);

    if (!rows.length) return empty(none);
    body.append(...rows.map((row) => line(columns, row)));
    return box;
}

/** first: the first page ({data, next}); more(cursor) -> the page after it. */
export function paged_table({caption, columns, first, more, none}) {
    const {box, body} = frame(caption, columns);
    const note = h('p', {class: 'bad', role: 'alert', hidden: true});
    let cursor = first.next;
    const next = h('button', {type: 'button', onclick: load}, t('table.more'));

    async function load() {
        next.disabled = true;
        note.hidden = true;
        try {
            const page = await more(cursor);

            body.append(...page.data.map((row) => line(columns, row)));
            cursor = page.next;
            next.hidden = !cursor;
            announce(t('table.loaded', {n: page.data.length}));
        } catch (e) {
            note.textContent = t('table.failed', {message: e.message});
            note.hidden = false;
        }
        next.disabled = false;
    }

    if (!first.data.length) return empty(none);
    body.append(...first.data.map((row) => line(columns, row)));
    next.hidden = !cursor;
    return h('div', {class: 'stack'}, box, note, h('div', {}, next));
}

/** Names and values, one under the other: [[label, value], …]. */
export function facts(pairs) {
    return h(
        'dl',
        {class: 'facts'},
        pairs.filter(Boolean).map(([label, value]) => h('div', {}, h('dt', {}, label), h('dd', {}, value))),
    );
}

/** A coloured word; the word says it all, the colour only helps. */
export function tag(kind, text) {
    return h('span', {class: `tag ${kind}`}, text);
}
