// Providers of the catalog: added, changed, removed, and asked whether they work.
import {get, patch, post, remove} from '../api.js';
import {confirm_dialog, dialog, form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {form} from '../forms.js';
import {DASH, list, milliseconds} from '../format.js';
import {t, word} from '../strings.js';
import {facts, paged_table, tag} from '../table.js';

const KINDS = ['openai', 'azure', 'anthropic', 'gemini', 'echo'];
const TIMES = ['connect_ms', 'first_byte_ms', 'idle_ms', 'total_ms'];

function path_of(provider) {
    return `/api/admin/providers/${encodeURIComponent(provider.name)}`;
}

function provider_fields(p = {}) {
    const making = !p.name;
    const none = (value) => (making ? undefined : value);
    const flag = (name, folded) => ({
        name,
        type: 'check',
        label: t(`provider.${name}`),
        value: Boolean(p[name]),
        blank: none(false),
        folded,
    });

    return [
        making ? {name: 'name', half: true, label: t('field.name'), hint: t('provider.name_hint'), required: true} : null,
        {name: 'kind', type: 'select', half: making, label: t('provider.kind'), value: p.kind, options: KINDS.map((k) => [k, k])},
        {name: 'base_url', label: t('provider.base_url'), value: p.base_url, hint: t('provider.base_url_hint'), blank: none('')},
        {
            name: 'api_keys',
            type: 'list',
            label: t('provider.api_keys'),
            hint: t(making ? 'provider.api_keys_hint' : 'provider.api_keys_kept'),
        },
        flag('internal'),
        flag('disabled'),
        flag('chat_only', true),
        {name: 'api_version', label: t('provider.api_version'), value: p.api_version, blank: none(''), folded: true},
        {
            name: 'disconnect',
            type: 'select',
            label: t('provider.disconnect'),
            value: p.disconnect,
            blank: none(''),
            folded: true,
            options: [
                ['', t('provider.default')],
                ['cancel', t('provider.cancel')],
                ['drain', t('provider.drain')],
            ],
        },
        ...TIMES.map((name) => ({
            name,
            type: 'number',
            half: true,
            label: t(`provider.${name}`),
            value: p[name] || '',
            blank: none(0),
            folded: true,
        })),
        {name: 'drop_params', type: 'list', label: t('provider.drop_params'), value: p.drop_params, blank: none([]), folded: true},
    ].filter(Boolean);
}

async function create(reload) {
    if (
        await form_dialog({
            title: t('provider.add'),
            fields: provider_fields(),
            submit: t('provider.add'),
            on_submit: (values) => post('/api/admin/providers', values),
        })
    )
        reload();
}

async function edit(p, reload) {
    if (
        await form_dialog({
            title: t('provider.edit', {name: p.name}),
            fields: provider_fields(p),
            submit: t('form.save'),
            changed: true,
            on_submit: (values) => patch(path_of(p), values),
        })
    )
        reload();
}

async function drop(p, reload) {
    if (
        await confirm_dialog({
            title: t('provider.delete', {name: p.name}),
            text: t('provider.delete_text'),
            action: t('form.delete'),
            act: () => remove(path_of(p)),
        })
    )
        reload();
}

function result(said) {
    return [
        h('p', {}, tag(said.ok ? 'good' : 'bad', said.ok ? t('provider.works') : t('provider.fails')), ' ', said.text),
        facts([
            ['HTTP', said.http_status || DASH],
            [t('usage.latency'), milliseconds(said.latency_ms)],
            [t('nav.models'), list(said.models, DASH)],
        ]),
    ];
}

function test(p) {
    return dialog({title: t('provider.test', {name: p.name})}, (close) => {
        const out = h('div', {class: 'result', role: 'status'});

        return [
            h('p', {class: 'muted'}, t('provider.test_text')),
            form({
                submit: t('provider.test_do'),
                cancel: t('form.close'),
                on_cancel: () => close(),
                fields: [{name: 'model', label: t('provider.test_model'), hint: t('provider.test_hint')}],
                on_submit: async (values) => {
                    out.replaceChildren(t('page.loading'));
                    try {
                        out.replaceChildren(...result(await post(`${path_of(p)}/test`, values)));
                    } catch (e) {
                        out.replaceChildren();
                        throw e;
                    }
                },
            }),
            out,
        ];
    });
}

export async function page({reload}) {
    const ask = (cursor) => get('/api/admin/providers', {cursor});
    const button = (text, act, p) => h('button', {type: 'button', 'aria-label': `${text} ${p.name}`, onclick: () => act(p, reload)}, text);
    const columns = [
        {label: t('field.name'), cell: (p) => p.name},
        {label: t('provider.kind'), cell: (p) => p.kind},
        {label: t('field.state'), cell: (p) => (p.disabled ? tag('warn', t('provider.off')) : tag('good', t('provider.on')))},
        {label: t('provider.base_url'), cell: (p) => p.base_url || t('provider.own_url')},
        {
            label: t('provider.api_keys'),
            cell: (p) =>
                h(
                    'span',
                    {class: 'mono'},
                    list(
                        (p.keys ?? []).map((k) => k.hint),
                        DASH,
                    ),
                ),
        },
        {label: t('field.source'), cell: (p) => word('source', p.source)},
        {
            label: t('field.actions'),
            unseen: true,
            cell: (p) =>
                h(
                    'div',
                    {class: 'row'},
                    button(t('provider.test_do'), test, p),
                    button(t('form.edit'), edit, p),
                    button(t('form.delete'), drop, p),
                ),
        },
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => create(reload)}, t('provider.add'))],
        body: [
            h('p', {class: 'muted'}, t('provider.text')),
            paged_table({caption: t('nav.providers'), columns, first: await ask(), more: ask, none: t('provider.none')}),
        ],
    };
}
