// Dialogs are <dialog> elements: the browser keeps the focus inside and gives it back.
import {h, unique} from './dom.js';
import {form} from './forms.js';
import {t} from './strings.js';

/**
 * Shows fill(close)'s elements under a title until close(result) is called or the dialog is left with Escape (result undefined).
 * keep: Escape does not close it; for what is shown only once. Resolves with the result.
 */
export function dialog({title, keep = false, wide = false}, fill) {
    return new Promise((resolve) => {
        const id = unique('dialog');
        const el = h('dialog', {'aria-labelledby': id, class: wide ? 'wide' : null}, h('h2', {id}, title));
        let result;
        const close = (value) => {
            result = value;
            el.close();
        };

        el.append(...[fill(close)].flat());
        el.addEventListener('cancel', (e) => keep && e.preventDefault());
        el.addEventListener('close', () => {
            el.remove();
            resolve(result);
        });
        document.body.append(el);
        el.showModal();
        if (keep)
            // Chromium closes at the second Escape all the same, unless the key itself is taken
            el.addEventListener('keydown', (e) => e.key === 'Escape' && e.preventDefault());
    });
}

/** A form in a dialog; resolves with what on_submit made of it, undefined when it was left. */
export function form_dialog({title, text, wide, ...rest}) {
    return dialog({title, wide}, (close) =>
        [
            text ? h('p', {class: 'muted'}, text) : null,
            form({...rest, on_cancel: () => close(), on_submit: async (values) => close((await rest.on_submit(values)) ?? true)}),
        ].filter(Boolean),
    );
}

/** "Are you sure?", done by act() while the dialog is open, so that a failure is said where the question was. */
export function confirm_dialog({title, text, action, act}) {
    return form_dialog({title, text, fields: [], submit: action, danger: true, on_submit: act});
}

function copy_button(input) {
    const said = h('span', {class: 'muted', role: 'status'});
    const copy = async () => {
        input.select();
        try {
            if (navigator.clipboard)
                // only in a secure context: https or this machine
                await navigator.clipboard.writeText(input.value);
            else if (!document.execCommand('copy')) throw new Error();
            said.textContent = t('copy.done');
        } catch {
            said.textContent = t('copy.by_hand');
        }
    };

    return [h('button', {type: 'button', onclick: copy}, t('copy')), said];
}

/** Something that can be seen now and never again. */
export function secret_dialog({title, text, label, secret}) {
    const id = unique('secret');
    const lines = secret.split('\n').length;
    const input =
        lines > 1
            ? h('textarea', {id, readonly: true, rows: Math.min(lines, 12), class: 'mono'})
            : h('input', {id, readonly: true, class: 'mono', spellcheck: 'false'});

    input.value = secret;
    return dialog({title, keep: true}, (close) => [
        h('p', {class: 'warning'}, text),
        h('div', {class: 'field'}, h('label', {for: id}, label), input),
        h('div', {class: 'row'}, copy_button(input)),
        h('div', {class: 'row end'}, h('button', {type: 'button', class: 'primary', onclick: () => close(true)}, t('secret.kept'))),
    ]);
}
