// The reader's credit: what there is, how it came and went, codes.
import {get, post} from '../api.js';
import {announce, h} from '../dom.js';
import {form} from '../forms.js';
import {money, time} from '../format.js';
import {t, word} from '../strings.js';
import {paged_table} from '../table.js';
import {figure_card} from './overview.js';

/** account: which account an entry belongs to, where there is more than the reader's own; calls: where a call's details are, if anywhere. */
export function ledger_columns({account = false, calls = null} = {}) {
    return [
        {label: t('ledger.entry'), num: true, cell: (e) => e.id},
        {label: t('usage.time'), cell: (e) => time(e.created)},
        account ? {label: t('ledger.account'), cell: (e) => word('account', e.account)} : null,
        {label: t('ledger.kind'), cell: (e) => word('entry', e.kind)},
        {label: t('ledger.amount'), num: true, cell: (e) => money(e.amount_usd)},
        {label: t('ledger.balance'), num: true, cell: (e) => money(e.balance_usd)},
        {
            label: t('field.note'),
            wide: true,
            cell: (e) => [
                e.note,
                e.note && calls && e.request_id ? ' ' : '',
                calls && e.request_id ? h('a', {class: 'mono small', href: `#/${calls}/${e.request_id}`}, e.request_id) : '',
            ],
        },
    ].filter(Boolean);
}

function redeem(reload) {
    return form({
        fields: [{name: 'code', label: t('credits.code'), placeholder: 'rc-…', required: true}],
        submit: t('credits.redeem'),
        on_submit: async (values) => {
            const got = await post('/api/credits/redeem', values);

            await reload();
            announce(t('credits.redeemed', {amount: money(got.amount_usd), balance: money(got.balance_usd)}));
        },
    });
}

export async function page({reload}) {
    const [credits, first] = await Promise.all([get('/api/credits'), get('/api/credits/ledger')]);

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h(
                'div',
                {class: 'cards'},
                figure_card(t('credits.balance'), money(credits.balance_usd)),
                figure_card(t('credits.held'), money(credits.held_usd), t('credits.held_text')),
                figure_card(t('credits.spent'), money(credits.spent_usd)),
            ),
            h('section', {class: 'panel narrow'}, h('h2', {}, t('credits.redeem_title')), redeem(reload)),
            h(
                'section',
                {class: 'panel'},
                h('h2', {}, t('credits.ledger')),
                paged_table({
                    caption: t('credits.ledger'),
                    first,
                    more: (cursor) => get('/api/credits/ledger', {cursor}),
                    none: t('ledger.none'),
                    columns: ledger_columns({calls: 'requests'}),
                }),
            ),
        ],
    };
}
