// Redemption codes: made, shown once, revoked.
import {get, post, remove} from '../api.js';
import {confirm_dialog, form_dialog, secret_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, money, time} from '../format.js';
import {t, word} from '../strings.js';
import {paged_table, tag} from '../table.js';

async function create(reload) {
    const made = await form_dialog({
        title: t('codes.create'),
        submit: t('codes.create'),
        on_submit: (values) => post('/api/admin/codes', values),
        fields: [
            {name: 'amount_usd', type: 'money', half: true, label: t('codes.worth'), required: true},
            {name: 'count', type: 'number', half: true, label: t('codes.count'), value: 1},
            {name: 'expires_at', type: 'time', label: t('keys.expires'), hint: t('keys.expires_hint')},
            {name: 'note', label: t('field.note')},
        ],
    });

    if (!made) return;
    await secret_dialog({
        title: t('codes.made', {n: made.data.length}),
        text: t('codes.secret_text'),
        label: t('nav.codes'),
        secret: made.data.map((c) => c.code).join('\n'),
    });
    reload();
}

async function revoke(code, reload) {
    if (
        await confirm_dialog({
            title: t('codes.revoke', {prefix: code.prefix}),
            text: t('codes.revoke_text'),
            action: t('keys.revoke_do'),
            act: () => remove(`/api/admin/codes/${code.id}`),
        })
    )
        reload();
}

function state(code) {
    return tag({open: 'good', revoked: 'bad'}[code.status] ?? '', word('status', code.status));
}

export async function page({reload}) {
    const ask = (cursor) => get('/api/admin/codes', {cursor});
    const columns = [
        {label: t('codes.prefix'), cell: (c) => h('span', {class: 'mono'}, `${c.prefix}…`)},
        {label: t('codes.worth'), num: true, cell: (c) => money(c.amount_usd)},
        {label: t('field.state'), cell: state},
        {
            label: t('codes.redeemed_by'),
            cell: (c) => (c.user_id ? h('a', {class: 'mono', href: `#/admin/users/${c.user_id}`}, c.user_id) : DASH),
        },
        {label: t('codes.redeemed_at'), cell: (c) => time(c.redeemed_at)},
        {label: t('keys.expires'), cell: (c) => (c.expires_at ? time(c.expires_at) : t('keys.never'))},
        {label: t('field.note'), wide: true, cell: (c) => c.note},
        {label: t('field.created'), cell: (c) => time(c.created)},
        {
            label: t('field.actions'),
            unseen: true,
            cell: (c) =>
                c.status === 'open'
                    ? h(
                          'button',
                          {type: 'button', 'aria-label': `${t('keys.revoke_do')} ${c.prefix}`, onclick: () => revoke(c, reload)},
                          t('keys.revoke_do'),
                      )
                    : '',
        },
    ];

    return {
        actions: [h('button', {type: 'button', class: 'primary', onclick: () => create(reload)}, t('codes.create'))],
        body: [paged_table({caption: t('nav.codes'), columns, first: await ask(), more: ask, none: t('codes.none')})],
    };
}
