// Who the reader is, and a new password.
import {post} from '../api.js';
import {h} from '../dom.js';
import {form} from '../forms.js';
import {DASH, date, money} from '../format.js';
import {t, word} from '../strings.js';
import {facts} from '../table.js';

export function user_facts(user) {
    return facts([
        [t('field.email'), user.email],
        [t('field.name'), user.name || DASH],
        [t('field.id'), h('span', {class: 'mono'}, user.id)],
        [t('field.role'), word('role', user.role)],
        [t('field.plan'), user.plan],
        [t('field.status'), word('status', user.status)],
        [t('credits.balance'), money(user.balance_usd)],
        [t('field.created'), date(user.created)],
    ]);
}

function password_form(user) {
    const done = h('p', {class: 'good', role: 'status'});
    const el = form({
        submit: t('account.change_password'),
        fields: [
            {
                name: 'current_password',
                type: 'password',
                label: t('account.current_password'),
                autocomplete: 'current-password',
                required: true,
            },
            {name: 'new_password', type: 'password', label: t('account.new_password'), hint: t('field.password_hint'), required: true},
        ],
        on_submit: async (values) => {
            done.textContent = '';
            await post('/auth/password', values);
            el.reset();
            done.textContent = t('account.changed');
        },
    });

    // for password managers: whose password this is
    el.prepend(
        h('input', {
            type: 'text',
            autocomplete: 'username',
            value: user.email,
            hidden: true,
            'aria-hidden': 'true',
            tabindex: '-1',
            readonly: true,
        }),
    );
    return [el, done];
}

export function page({user}) {
    return {
        body: [
            h('section', {class: 'panel'}, h('h2', {}, t('account.you')), user_facts(user)),
            h(
                'section',
                {class: 'panel narrow'},
                h('h2', {}, t('account.password')),
                h('p', {class: 'muted'}, t('account.password_text')),
                password_form(user),
            ),
        ],
    };
}
