// One user, for administrators: plan, role and status, password, credit.
import {get, idempotency_key, patch, post} from '../api.js';
import {form_dialog} from '../dialog.js';
import {announce, h} from '../dom.js';
import {money} from '../format.js';
import {t, word} from '../strings.js';
import {paged_table} from '../table.js';
import {user_facts} from './account.js';
import {ledger_columns} from './credits.js';
import {plan_options, role_options} from './users.js';

const LEDGER_ROWS = 20;
const GRANTS = ['grant', 'topup', 'refund', 'adjustment'];
const STATUSES = ['active', 'disabled'];

async function edit(user, reload) {
    const plans = await plan_options();
    const done = await form_dialog({
        title: t('user.edit', {email: user.email}),
        submit: t('form.save'),
        changed: true,
        fields: [
            {name: 'name', label: t('field.name'), value: user.name, blank: ''},
            {name: 'plan', type: 'select', label: t('field.plan'), value: user.plan, options: plans},
            {name: 'role', type: 'select', half: true, label: t('field.role'), value: user.role, options: role_options()},
            {
                name: 'status',
                type: 'select',
                half: true,
                label: t('field.status'),
                value: user.status,
                options: STATUSES.map((s) => [s, word('status', s)]),
            },
        ],
        on_submit: (values) => patch(`/api/admin/users/${user.id}`, values),
    });

    if (done) reload();
}

async function set_password(user) {
    const done = await form_dialog({
        title: t('user.password', {email: user.email}),
        text: t('user.password_text'),
        submit: t('user.password_do'),
        fields: [{name: 'password', type: 'password', label: t('account.new_password'), hint: t('field.password_hint'), required: true}],
        on_submit: (values) => post(`/api/admin/users/${user.id}/password`, values),
    });

    if (done) announce(t('user.password_done'));
}

/* The form has one key for all its attempts: when an answer is lost and the button pressed again, the credit is given once. */
async function grant(user, reload) {
    const headers = {'idempotency-key': idempotency_key()};
    const done = await form_dialog({
        title: t('user.grant', {email: user.email}),
        text: t('user.grant_text'),
        submit: t('user.grant_do'),
        fields: [
            {name: 'amount_usd', type: 'money', half: true, label: t('field.amount'), hint: t('user.amount_hint'), required: true},
            {name: 'kind', type: 'select', half: true, label: t('ledger.kind'), options: GRANTS.map((k) => [k, word('entry', k)])},
            {name: 'note', label: t('field.note')},
            {name: 'request_id', label: t('user.refund_of'), hint: t('user.refund_hint'), placeholder: 'req_…', folded: true},
        ],
        on_submit: (values) => post(`/api/admin/users/${user.id}/credits`, values, headers),
    });

    if (!done) return;
    await reload();
    announce(t('user.granted', {amount: money(done.amount_usd), balance: money(done.balance_usd)}));
}

export async function page({arg, reload}) {
    const ledger = (cursor) => get('/api/admin/ledger', {user: arg, limit: LEDGER_ROWS, cursor});
    const [user, first] = await Promise.all([get(`/api/admin/users/${encodeURIComponent(arg)}`), ledger()]);
    const link = (path, text) => h('a', {class: 'button', href: `#/admin/${path}user=${user.id}`}, text);

    return {
        title: user.email,
        actions: [
            h('button', {type: 'button', class: 'primary', onclick: () => grant(user, reload)}, t('user.grant_do')),
            h('button', {type: 'button', onclick: () => edit(user, reload)}, t('form.edit')),
            h('button', {type: 'button', onclick: () => set_password(user)}, t('user.password_do')),
        ],
        body: [
            h(
                'section',
                {class: 'panel stack'},
                user_facts(user),
                h(
                    'div',
                    {class: 'row'},
                    link('usage?group=model&', t('nav.usage')),
                    link('requests?', t('nav.requests')),
                    link('ledger?', t('nav.ledger')),
                ),
            ),
            h(
                'section',
                {class: 'panel'},
                h('h2', {}, t('credits.ledger')),
                paged_table({
                    caption: t('credits.ledger'),
                    first,
                    more: ledger,
                    none: t('ledger.none'),
                    columns: ledger_columns({account: true, calls: 'admin/requests'}),
                }),
            ),
        ],
    };
}
