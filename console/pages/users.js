// All users; one can be found by the e-mail address, or made.
import {get, post} from '../api.js';
import {form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {date, money} from '../format.js';
import {filters} from '../navigate.js';
import {t, word} from '../strings.js';
import {paged_table, tag} from '../table.js';

export const ROLES = ['user', 'admin'];

export function role_options() {
    return ROLES.map((r) => [r, word('role', r)]);
}

export async function plan_options() {
    return (await get('/api/admin/plans')).data.map((p) => [p.name, p.name]);
}

async function create() {
    const plans = await plan_options();
    const made = await form_dialog({
        title: t('users.create'),
        submit: t('users.create'),
        on_submit: (values) => post('/api/admin/users', values),
        fields: [
            {name: 'email', type: 'email', label: t('field.email'), required: true},
            {name: 'name', label: t('field.name_optional')},
            {name: 'password', type: 'password', label: t('users.first_password'), hint: t('field.password_hint'), required: true},
            {name: 'role', type: 'select', half: true, label: t('field.role'), options: role_options()},
            {name: 'plan', type: 'select', half: true, label: t('field.plan'), options: [['', t('users.signup_plan')], ...plans]},
        ],
    });

    if (made) location.hash = `#/admin/users/${made.id}`;
}

export function user_status(user) {
    return tag(user.status === 'active' ? 'good' : 'bad', word('status', user.status));
}

export async function page({query, path}) {
    const ask = (cursor) => get('/api/admin/users', {email: query.email, cursor});
    const first = await ask();
    const columns = [
        {
            label: t('field.email'),
            cell: (u) => [h('a', {href: `#/admin/users/${u.id}`}, u.email), u.name ? h('div', {class: 'muted small'}, u.name) : null],
        },
        {label: t('field.role'), cell: (u) => word('role', u.role)},
        {label: t('field.plan'), cell: (u) => u.plan},
        {label: t('field.status'), cell: user_status},
        {label: t('credits.balance'), num: true, cell: (u) => money(u.balance_usd)},
        {label: t('field.created'), cell: (u) => date(u.created)},
        {label: t('field.id'), cell: (u) => h('span', {class: 'mono muted small'}, u.id)},
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: create}, t('users.create'))],
        body: [
            h(
                'div',
                {class: 'panel'},
                filters({path, fields: [{name: 'email', type: 'search', label: t('users.find'), value: query.email}]}),
            ),
            paged_table({caption: t('nav.users'), columns, first, more: ask, none: t('users.none')}),
        ],
    };
}
