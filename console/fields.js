// The kinds of form fields. Each is made of its description and returns {control, focus, read() -> value, undefined when empty}.
import {h, unique} from './dom.js';
import {t} from './strings.js';

function input(spec, id, type, attributes, parse) {
    const el = h('input', {
        id,
        name: spec.name,
        type,
        autocomplete: 'off',
        'aria-required': spec.required ? 'true' : null,
        placeholder: spec.placeholder,
        ...attributes,
    });

    el.value = spec.value ?? '';
    return {control: el, focus: el, read: () => (el.value.trim() === '' ? undefined : parse(el.value))};
}

/** What is no whole number goes to the API as it is: it says what is wrong with it. */
function whole(text) {
    const digits = text.trim();

    return /^-?\d{1,15}$/.test(digits) ? Number(digits) : digits;
}

function seconds(text) {
    return Math.floor(Date.parse(`${text}Z`) / 1000);
}

function lines(text) {
    return text
        .split(/[\n,]/)
        .map((x) => x.trim())
        .filter(Boolean);
}

function text_area(spec, id) {
    const el = h('textarea', {id, name: spec.name, rows: spec.rows ?? 3, spellcheck: 'false', autocomplete: 'off'});

    el.value = (spec.value ?? []).join('\n');
    return {control: el, focus: el, read: () => (lines(el.value).length ? lines(el.value) : undefined)};
}

function select(spec, id) {
    const el = h(
        'select',
        {id, name: spec.name},
        spec.options.map(([value, label]) => h('option', {value}, label)),
    );

    el.value = spec.value ?? spec.options[0][0];
    return {control: el, focus: el, read: () => (el.value === '' ? undefined : el.value)};
}

function check(spec, id) {
    const el = h('input', {id, name: spec.name, type: 'checkbox', checked: Boolean(spec.value)});

    return {control: el, focus: el, read: () => el.checked};
}

/** A list of small records, each a line of inputs: spec.columns = [{name, label, number}]. */
function rows(spec, id) {
    const list = h('div', {class: 'lines'});
    const add = (record) => {
        const cells = spec.columns.map((c) => {
            const one = unique('cell');
            const el = h('input', {
                id: one,
                inputmode: c.number ? 'numeric' : null,
                autocomplete: 'off',
                list: c.list,
                size: c.number ? 4 : 14,
            });

            el.value = record[c.name] ?? '';
            return {c, el, box: h('div', {class: c.number ? 'cell short' : 'cell'}, h('label', {for: one}, c.label), el)};
        });
        const line = h(
            'div',
            {class: 'line'},
            cells.map((x) => x.box),
            h('button', {type: 'button', 'aria-label': t('form.remove_line'), onclick: () => line.remove()}, '×'),
        );

        line.read = () =>
            Object.fromEntries(
                cells.filter((x) => x.el.value.trim() !== '').map((x) => [x.c.name, x.c.number ? whole(x.el.value) : x.el.value.trim()]),
            );
        list.append(line);
    };
    const button = h('button', {type: 'button', onclick: () => add({})}, t('form.add_line'));
    const box = h('div', {id, role: 'group', 'aria-labelledby': `${id}-label`, tabindex: '-1'}, list, button);

    (spec.value?.length ? spec.value : [{}]).forEach(add);
    return {
        control: box,
        focus: box,
        read: () => {
            const records = [...list.children].map((line) => line.read()).filter((r) => Object.keys(r).length);

            return records.length ? records : undefined;
        },
    };
}

export const fields = {
    text: (spec, id) => input(spec, id, 'text', {}, (v) => v),
    search: (spec, id) => input(spec, id, 'search', {}, (v) => v.trim()),
    email: (spec, id) => input(spec, id, 'email', {autocomplete: spec.autocomplete ?? 'off'}, (v) => v.trim()),
    password: (spec, id) => input(spec, id, 'password', {autocomplete: spec.autocomplete ?? 'new-password'}, (v) => v),
    number: (spec, id) => input(spec, id, 'text', {inputmode: 'numeric'}, whole),
    money: (spec, id) => input(spec, id, 'text', {inputmode: 'decimal'}, (v) => v.trim()),
    date: (spec, id) => input(spec, id, 'date', {}, (v) => v),
    time: (spec, id) =>
        input(
            {...spec, value: spec.value ? new Date(spec.value * 1000).toISOString().slice(0, 19) : ''},
            id,
            'datetime-local',
            {step: 1},
            seconds,
        ),
    list: text_area,
    select,
    check,
    rows,
};
