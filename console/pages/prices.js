// What each model costs, every version of it, and a new one.
import {get, post} from '../api.js';
import {form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, date, money, now, time} from '../format.js';
import {filters} from '../navigate.js';
import {t} from '../strings.js';
import {paged_table, tag} from '../table.js';
import {price_fields} from './price.js';

async function set(price, reload) {
    const named = Boolean(price.model);
    const done = await form_dialog({
        title: named ? t('price.change', {model: price.model}) : t('price.set'),
        wide: true,
        text: t('price.unit'),
        submit: t('price.set'),
        fields: [
            named ? null : {name: 'model', label: t('field.model'), required: true},
            ...price_fields(price),
            {name: 'valid_from', type: 'time', label: t('price.valid_from'), hint: t('price.valid_from_hint')},
        ].filter(Boolean),
        on_submit: (values) => post('/api/admin/prices', named ? {...values, model: price.model} : values),
    });

    if (done) reload();
}

function validity(price) {
    if (price.created > now()) return tag('warn', t('price.waits'));
    return price.ended && price.ended <= now() ? tag('', t('price.over')) : tag('good', t('price.in_force'));
}

export async function page({query, path, reload}) {
    const history = query.model ? 'true' : '';
    const ask = (cursor) => get('/api/admin/prices', {model: query.model, history, cursor});
    const amount = (name) => ({label: t(`price.${name}`), num: true, cell: (p) => (p[name] === null ? DASH : money(p[name]))});
    const columns = [
        {label: t('field.model'), cell: (p) => h('a', {href: `#/${path}?model=${encodeURIComponent(p.model)}`}, p.model)},
        {label: t('field.provider'), cell: (p) => p.provider || DASH},
        amount('input'),
        amount('cached_input'),
        amount('cache_write'),
        amount('output'),
        history ? {label: t('field.state'), cell: validity} : null,
        {label: t('price.since'), cell: (p) => (history ? time : date)(p.created)},
        {label: t('field.source'), cell: (p) => t(p.builtin ? 'price.builtin' : 'price.own')},
        {
            label: t('field.actions'),
            unseen: true,
            cell: (p) =>
                h(
                    'button',
                    {type: 'button', 'aria-label': `${t('price.change_do')} ${p.model}`, onclick: () => set(p, reload)},
                    t('price.change_do'),
                ),
        },
    ].filter(Boolean);

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => set({}, reload)}, t('price.set'))],
        body: [
            h(
                'div',
                {class: 'panel'},
                filters({path, fields: [{name: 'model', type: 'search', label: t('price.find'), value: query.model}]}),
            ),
            h('p', {class: 'muted'}, t('price.unit')),
            paged_table({caption: t('nav.prices'), columns, first: await ask(), more: ask, none: t('price.none')}),
        ],
    };
}
