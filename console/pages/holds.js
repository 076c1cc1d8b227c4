// Credit that is held for calls which are not settled yet.
import {get} from '../api.js';
import {h} from '../dom.js';
import {count, milliseconds, money} from '../format.js';
import {t} from '../strings.js';
import {table} from '../table.js';
import {figure_card} from './overview.js';

export async function page({reload}) {
    const holds = await get('/api/admin/system/holds');
    const columns = [
        {label: t('request.id'), cell: (x) => h('span', {class: 'mono'}, x.request_id)},
        {label: t('field.user'), cell: (x) => h('a', {class: 'mono', href: `#/admin/users/${x.user_id}`}, x.user_id)},
        {label: t('field.key'), cell: (x) => h('span', {class: 'mono'}, x.key_id)},
        {label: t('ledger.amount'), num: true, cell: (x) => money(x.amount_usd)},
        {label: t('holds.lease'), num: true, cell: (x) => milliseconds(x.lease_ms)},
        {label: t('holds.running'), cell: (x) => (x.running ? t('yes') : t('no'))},
    ];

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h(
                'div',
                {class: 'cards'},
                figure_card(t('holds.open'), count(holds.open)),
                figure_card(t('credits.held'), money(holds.held_usd)),
            ),
            holds.has_more ? h('p', {class: 'muted'}, t('holds.oldest', {n: holds.data.length})) : null,
            table({caption: t('nav.holds'), columns, rows: holds.data, none: t('holds.none')}),
        ],
    };
}
