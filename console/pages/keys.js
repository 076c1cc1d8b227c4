// The reader's API keys: made, changed, rotated, revoked.
import {get, patch, post, remove} from '../api.js';
import {confirm_dialog, form_dialog, secret_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, count, date, money, now, time} from '../format.js';
import {t, word} from '../strings.js';
import {paged_table, tag} from '../table.js';

const DEFAULT_GRACE_S = 86400;
const PERIODS = ['total', 'day', 'week', 'month'];

function key_fields(key = {}) {
    const making = !key.id;
    const plan = t('keys.as_plan');
    // a key that is made says what it has; one that is changed can lose it: then nothing is the API's own "none"
    const none = (value) => (making ? undefined : value);

    return [
        {name: 'name', label: t('field.name'), value: key.name, required: true, blank: none('')},
        {
            name: 'budget_usd',
            type: 'money',
            half: true,
            label: t('keys.budget'),
            value: key.budget_usd === '0' ? '' : key.budget_usd,
            hint: t('keys.budget_hint'),
            blank: none('0'),
        },
        {
            name: 'budget_period',
            type: 'select',
            half: true,
            label: t('keys.budget_period'),
            value: key.budget_period || '',
            options: [['', DASH], ...PERIODS.map((p) => [p, word('period', p)])],
        },
        {
            name: 'expires_at',
            type: 'time',
            label: t('keys.expires'),
            value: key.expires_at || '',
            hint: t('keys.expires_hint'),
            blank: none(0),
        },
        {name: 'models', type: 'list', label: t('keys.models'), value: key.models, hint: t('keys.models_hint'), blank: none([])},
        {name: 'ip_allow', type: 'list', label: t('keys.ip_allow'), value: key.ip_allow, hint: t('keys.ip_allow_hint'), blank: none([])},
        {name: 'rpm', type: 'number', half: true, label: t('limits.rpm'), value: key.rpm || '', hint: plan, blank: none(0)},
        {name: 'tpm', type: 'number', half: true, label: t('limits.tpm'), value: key.tpm || '', hint: plan, blank: none(0)},
        {
            name: 'concurrency',
            type: 'number',
            half: true,
            label: t('limits.concurrency'),
            value: key.concurrency || '',
            hint: plan,
            blank: none(0),
        },
    ];
}

function show_secret(made, title) {
    return secret_dialog({title, text: t('keys.secret_text'), label: t('keys.secret'), secret: made.key});
}

export async function create_key(reload) {
    const made = await form_dialog({
        title: t('keys.create'),
        fields: key_fields(),
        submit: t('keys.create'),
        on_submit: (values) => post('/api/keys', values),
    });

    if (!made) return;
    await show_secret(made, t('keys.made', {name: made.name}));
    reload();
}

async function edit(key, reload) {
    const done = await form_dialog({
        title: t('keys.edit', {name: key.name}),
        fields: key_fields(key),
        submit: t('form.save'),
        changed: true,
        on_submit: (values) => patch(`/api/keys/${key.id}`, values),
    });

    if (done) reload();
}

async function rotate(key, reload) {
    const made = await form_dialog({
        title: t('keys.rotate', {name: key.name}),
        text: t('keys.rotate_text'),
        submit: t('keys.rotate_do'),
        fields: [{name: 'grace_s', type: 'number', label: t('keys.grace'), value: DEFAULT_GRACE_S, hint: t('keys.grace_hint')}],
        on_submit: (values) => post(`/api/keys/${key.id}/rotate`, values),
    });

    if (!made) return;
    await show_secret(made, t('keys.rotated', {name: made.name}));
    reload();
}

async function revoke(key, reload) {
    const done = await confirm_dialog({
        title: t('keys.revoke', {name: key.name}),
        text: t('keys.revoke_text', {prefix: key.prefix}),
        action: t('keys.revoke_do'),
        act: () => remove(`/api/keys/${key.id}`),
    });

    if (done) reload();
}

function state(key) {
    if (key.status !== 'active') return tag('', word('status', key.status));
    return key.expires_at && key.expires_at <= now() ? tag('warn', t('keys.expired')) : tag('good', word('status', 'active'));
}

function budget(key) {
    return key.budget_period
        ? [`${money(key.budget_spent_usd)} / ${money(key.budget_usd)}`, h('div', {class: 'muted small'}, word('period', key.budget_period))]
        : DASH;
}

function limits(key) {
    const parts = ['rpm', 'tpm', 'concurrency']
        .filter((name) => key[name])
        .map((name) => `${count(key[name])} ${t(`limits.${name}_short`)}`);

    return [...parts, ...(key.models ?? [])].map((x) => h('div', {}, x));
}

function buttons(key, reload) {
    const button = (text, act) => h('button', {type: 'button', 'aria-label': `${text} ${key.name}`, onclick: () => act(key, reload)}, text);

    return key.status === 'active'
        ? h('div', {class: 'row'}, button(t('form.edit'), edit), button(t('keys.rotate_do'), rotate), button(t('keys.revoke_do'), revoke))
        : '';
}

export async function page({reload}) {
    const columns = [
        {
            label: t('field.name'),
            wide: true,
            cell: (k) => [k.name, h('div', {class: 'mono muted small'}, `${k.prefix}…`, ' ', date(k.created))],
        },
        {
            label: t('field.state'),
            cell: (k) => [
                state(k),
                k.previous_until > now()
                    ? h('div', {class: 'muted small'}, t('keys.previous_until', {time: time(k.previous_until)}))
                    : null,
            ],
        },
        {label: t('keys.limits'), cell: (k) => (limits(k).length ? limits(k) : t('keys.plan'))},
        {label: t('keys.budget'), cell: budget},
        {label: t('keys.ip_allow'), cell: (k) => (k.ip_allow?.length ? k.ip_allow.map((x) => h('div', {}, x)) : t('keys.anywhere'))},
        {label: t('keys.expires'), cell: (k) => (k.expires_at ? date(k.expires_at) : t('keys.never'))},
        {label: t('field.actions'), unseen: true, cell: (k) => buttons(k, reload)},
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => create_key(reload)}, t('keys.create'))],
        body: [
            paged_table({
                caption: t('nav.keys'),
                columns,
                first: await get('/api/keys'),
                more: (cursor) => get('/api/keys', {cursor}),
                none: t('keys.none'),
            }),
        ],
    };
}
