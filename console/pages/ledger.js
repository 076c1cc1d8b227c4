// All entries of the ledger, the operator's accounts too.
import {get} from '../api.js';
import {h} from '../dom.js';
import {filters} from '../navigate.js';
import {t} from '../strings.js';
import {paged_table} from '../table.js';
import {ledger_columns} from './credits.js';

export async function page({query, path}) {
    const ask = (cursor) => get('/api/admin/ledger', {user: query.user, cursor});

    return {
        body: [
            h(
                'div',
                {class: 'panel'},
                filters({path, fields: [{name: 'user', type: 'search', label: t('field.user_id'), value: query.user}]}),
            ),
            paged_table({
                caption: t('nav.ledger'),
                first: await ask(),
                more: ask,
                none: t('ledger.none'),
                columns: ledger_columns({account: true, calls: 'admin/requests'}),
            }),
        ],
    };
}
