// Plans: the limits that users have who have none of their own.
import {get, patch} from '../api.js';
import {form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, limit, list, money} from '../format.js';
import {t} from '../strings.js';
import {table} from '../table.js';

const LIMITS = ['rpm', 'tpm', 'concurrency', 'max_keys'];

async function edit(plan, reload) {
    const named = Boolean(plan.name);
    const done = await form_dialog({
        title: named ? t('plan.edit', {name: plan.name}) : t('plan.create'),
        submit: t('form.save'),
        changed: named,
        fields: [
            named ? null : {name: 'name', label: t('field.name'), required: true},
            ...LIMITS.map((name) => ({
                name,
                type: 'number',
                half: true,
                label: t(`limits.${name}`),
                value: plan[name] || '',
                hint: t('plan.blank'),
                blank: 0,
            })),
            {
                name: 'monthly_credit_usd',
                type: 'money',
                label: t('plan.monthly_credit'),
                value: plan.monthly_credit_usd === '0' ? '' : plan.monthly_credit_usd,
                hint: t('plan.monthly_hint'),
                blank: '0',
            },
            {name: 'models', type: 'list', label: t('keys.models'), value: plan.models, hint: t('plan.models_hint'), blank: []},
        ].filter(Boolean),
        on_submit: (values) => patch('/api/admin/plans', named ? {...values, name: plan.name} : values),
    });

    if (done) reload();
}

export async function page({reload}) {
    const {data} = await get('/api/admin/plans');
    const columns = [
        {label: t('field.name'), cell: (p) => p.name},
        ...LIMITS.map((name) => ({label: t(`limits.${name}`), num: true, cell: (p) => limit(p[name], t('plan.unlimited'))})),
        {label: t('keys.models'), cell: (p) => list(p.models, t('plan.all_models'))},
        {label: t('plan.monthly_credit'), num: true, cell: (p) => (p.monthly_credit_usd === '0' ? DASH : money(p.monthly_credit_usd))},
        {
            label: t('field.actions'),
            unseen: true,
            cell: (p) =>
                h('button', {type: 'button', 'aria-label': `${t('form.edit')} ${p.name}`, onclick: () => edit(p, reload)}, t('form.edit')),
        },
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => edit({}, reload)}, t('plan.create'))],
        body: [table({caption: t('nav.plans'), columns, rows: data, none: t('plan.none')})],
    };
}
