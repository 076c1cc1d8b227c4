// Models of the catalog: what clients call them, who serves them, what they cost.
import {get, get_all, patch, post, remove} from '../api.js';
import {confirm_dialog, form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, list} from '../format.js';
import {t, word} from '../strings.js';
import {paged_table} from '../table.js';
import {price_fields} from './price.js';

const PROVIDERS = 'known-providers'; // a <datalist>

function path_of(model) {
    return `/api/admin/models/${encodeURIComponent(model.name)}`;
}

function model_fields(m = {}) {
    const making = !m.name;
    const none = (value) => (making ? undefined : value);
    const size = (name) => ({
        name,
        type: 'number',
        half: true,
        label: t(`model.${name}`),
        value: m[name] || '',
        hint: t('model.as_price'),
        blank: none(0),
        folded: true,
    });

    return [
        making ? {name: 'name', label: t('field.name'), hint: t('model.name_hint'), required: true} : null,
        {
            name: 'routes',
            type: 'rows',
            label: t('model.routes'),
            hint: t('model.routes_hint'),
            value: m.routes,
            blank: none([]),
            columns: [
                {name: 'provider', label: t('field.provider'), list: PROVIDERS},
                {name: 'model', label: t('request.upstream_model')},
                {name: 'tier', label: t('model.tier'), number: true},
                {name: 'weight', label: t('model.weight'), number: true},
            ],
        },
        {
            name: 'aliases',
            type: 'list',
            label: t('model.aliases'),
            value: m.aliases,
            hint: t('model.aliases_hint'),
            rows: 2,
            blank: none([]),
        },
        {
            name: 'routing',
            type: 'select',
            label: t('model.routing'),
            value: m.routing,
            folded: true,
            options: [
                ['weighted', t('model.weighted')],
                ['latency', t('model.latency')],
            ],
        },
        size('context_window'),
        size('max_output'),
        ...price_fields(m.own_price ? m.price : {}, 'price.', false).map((f) => ({...f, always: true})),
    ].filter(Boolean);
}

async function providers_list() {
    const names = (await get_all('/api/admin/providers')).map((p) => p.name);

    return h(
        'datalist',
        {id: PROVIDERS},
        names.map((value) => h('option', {value})),
    );
}

async function create(reload) {
    if (
        await form_dialog({
            title: t('model.add'),
            wide: true,
            text: t('model.price_text'),
            fields: model_fields(),
            submit: t('model.add'),
            on_submit: (values) => post('/api/admin/models', values),
        })
    )
        reload();
}

/* Without a price the model is billed as its route's model is. */
async function edit(row, reload) {
    const model = await get(path_of(row));
    const save = (values) => patch(path_of(row), !values.price && model.own_price ? {...values, own_price: false} : values);

    if (
        await form_dialog({
            title: t('model.edit', {name: row.name}),
            wide: true,
            text: t('model.price_text'),
            fields: model_fields(model),
            submit: t('form.save'),
            changed: true,
            on_submit: save,
        })
    )
        reload();
}

async function drop(row, reload) {
    if (
        await confirm_dialog({
            title: t('model.delete', {name: row.name}),
            text: t('model.delete_text'),
            action: t('form.delete'),
            act: () => remove(path_of(row)),
        })
    )
        reload();
}

function routes(model) {
    return h(
        'ul',
        {class: 'plain'},
        (model.routes ?? []).map((r) =>
            h('li', {}, `${r.provider}/${r.model} `, h('span', {class: 'muted small'}, t('model.route', {tier: r.tier, weight: r.weight}))),
        ),
    );
}

export async function page({reload}) {
    const ask = (cursor) => get('/api/admin/models', {cursor});
    const [first, known] = await Promise.all([ask(), providers_list()]);
    const button = (text, act, m) => h('button', {type: 'button', 'aria-label': `${text} ${m.name}`, onclick: () => act(m, reload)}, text);
    const columns = [
        {label: t('field.name'), cell: (m) => m.name},
        {label: t('model.aliases'), cell: (m) => list(m.aliases, DASH)},
        {label: t('model.routes'), cell: routes},
        {label: t('model.routing'), cell: (m) => t(m.routing === 'latency' ? 'model.latency' : 'model.weighted')},
        {
            label: t('model.price'),
            cell: (m) =>
                m.own_price
                    ? h('a', {href: `#/admin/prices?model=${encodeURIComponent(m.name)}`}, t('model.own_price'))
                    : t('model.route_price'),
        },
        {label: t('field.source'), cell: (m) => word('source', m.source)},
        {
            label: t('field.actions'),
            unseen: true,
            cell: (m) => h('div', {class: 'row'}, button(t('form.edit'), edit, m), button(t('form.delete'), drop, m)),
        },
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => create(reload)}, t('model.add'))],
        body: [
            h('p', {class: 'muted'}, t('model.text')),
            known,
            paged_table({caption: t('nav.models'), columns, first, more: ask, none: t('model.none')}),
        ],
    };
}
