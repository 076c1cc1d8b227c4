// Forms made from lists of fields. What is valid is the API's to say: its message is shown at the field that it names.
import {h, unique} from './dom.js';
import {fields} from './fields.js';
import {t} from './strings.js';

/** "routes[1].provider" belongs to the field "routes" when none has the whole name. */
function owner(shown, param) {
    const by_name = (name) => shown.find((f) => f.spec.name === name);

    return param ? (by_name(param) ?? by_name(param.split(/[.[]/)[0])) : undefined;
}

function make_field(spec) {
    const id = unique('field');
    const {control, read, focus} = fields[spec.type ?? 'text'](spec, id);
    const hint = spec.hint ? h('p', {id: `${id}-hint`, class: 'hint'}, spec.hint) : null;
    const error = h('p', {id: `${id}-error`, class: 'bad', hidden: true});
    const described = [hint && hint.id, error.id].filter(Boolean).join(' ');
    const label = spec.type === 'rows' ? h('div', {class: 'label', id: `${id}-label`}, spec.label) : h('label', {for: id}, spec.label);

    focus.setAttribute('aria-describedby', described);
    const say = (message) => {
        error.textContent = message ?? '';
        error.hidden = !message;
        if (message) focus.setAttribute('aria-invalid', 'true');
        else focus.removeAttribute('aria-invalid');
    };
    const parts = spec.type === 'check' ? [h('div', {class: 'check'}, control, label)] : [label, control];

    return {spec, read, say, focus, el: h('div', {class: spec.half ? 'field half' : 'field'}, parts, hint, error)};
}

/** {"price.input": "1", name: "x"} -> {price: {input: "1"}, name: "x"} */
function nest(flat) {
    const out = {};

    for (const [name, value] of Object.entries(flat)) {
        const [outer, inner] = name.split('.');

        if (inner) (out[outer] ??= {})[inner] = value;
        else out[outer] = value;
    }
    return out;
}

/*
 * What the fields say, by name. An empty field is left out, unless it has a `blank` value: what "nothing" is in the API. When `changed`
 * is asked for, so is what is as it was.
 */
function collect(shown, changed) {
    const values = {};

    for (const {spec, read} of shown) {
        const value = read() ?? spec.blank;
        const before = spec.value === undefined || spec.value === '' ? spec.blank : spec.value;

        if (value === undefined || (changed && !spec.always && JSON.stringify(value) === JSON.stringify(before))) continue;
        values[spec.name] = value;
    }
    return nest(values);
}

function layout(shown) {
    const folded = shown.filter((f) => f.spec.folded);
    const plain = shown.filter((f) => !f.spec.folded);
    const used = folded.some((f) => f.read() !== undefined && f.read() !== false);

    return [
        h(
            'div',
            {class: 'fields'},
            plain.map((f) => f.el),
        ),
        folded.length
            ? h(
                  'details',
                  {open: used},
                  h('summary', {}, t('form.more')),
                  h(
                      'div',
                      {class: 'fields'},
                      folded.map((f) => f.el),
                  ),
              )
            : null,
    ];
}

/**
 * fields: [{name, label, type, value, hint, options, blank, half, folded}], see fields.js for the types; changed: on_submit gets only
 * what was changed; on_submit(values) may throw an ApiError.
 */
export function form({fields: specs, submit, cancel = t('form.cancel'), danger, changed, on_submit, on_cancel}) {
    const shown = specs.map(make_field);
    const alert = h('p', {class: 'bad box', role: 'alert', hidden: true});
    const button = h('button', {type: 'submit', class: danger ? 'danger' : 'primary'}, submit);
    const fail = (e) => {
        const at = owner(shown, e.param);
        const fold = at?.el.closest('details');

        if (!at) {
            alert.textContent = e.message;
            alert.hidden = false;
            return;
        }
        at.say(e.message);
        if (fold) fold.open = true;
        at.focus.focus();
    };
    const send = async (event) => {
        event.preventDefault();
        if (button.disabled) return;
        alert.hidden = true;
        shown.forEach((f) => f.say(null));
        button.disabled = true;
        try {
            await on_submit(collect(shown, changed));
        } catch (e) {
            fail(e);
        }
        button.disabled = false;
    };

    return h(
        'form',
        {novalidate: true, onsubmit: send},
        alert,
        layout(shown),
        h('div', {class: 'row end'}, on_cancel ? h('button', {type: 'button', onclick: on_cancel}, cancel) : null, button),
    );
}
