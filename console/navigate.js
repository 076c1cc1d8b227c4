// Filters live in the address, so that "back", a bookmark and a link in a chat mean the same page.
import {with_query} from './api.js';
import {h} from './dom.js';
import {form} from './forms.js';
import {t} from './strings.js';

export function address(path, query) {
    return with_query(`#/${path}`, query);
}

/** A line of fields; "apply" goes to the address with what they say. `keep` stays in the address as it is. */
export function filters({path, fields, keep = {}, clear = true}) {
    const el = form({
        fields,
        submit: t('filter.apply'),
        on_submit: (values) => {
            location.hash = address(path, {...keep, ...values});
        },
    });

    el.classList.add('filters');
    if (clear) el.lastChild.prepend(h('a', {href: address(path, {}), class: 'button'}, t('filter.clear')));
    return el;
}
