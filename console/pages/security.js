// What was seen of attacks: counts by kind, whom it was about, and from where.
import {get} from '../api.js';
import {h} from '../dom.js';
import {DASH, time} from '../format.js';
import {filters} from '../navigate.js';
import {t, word} from '../strings.js';
import {paged_table} from '../table.js';

const KINDS = [
    'login_failed',
    'login_throttled',
    'key_guessing',
    'key_revoked_used',
    'ip_not_allowed',
    'refresh_token_reused',
    'admin_denied',
    'hostile_request',
    'anomalous_use',
];

export async function page({query, path, reload}) {
    const ask = (cursor) => get('/api/admin/security-events', {kind: query.kind, cursor});
    const options = [['', t('filter.any')], ...KINDS.map((k) => [k, word('kind', k)])];
    const columns = [
        {label: t('security.last'), cell: (e) => time(e.last_seen)},
        {label: t('security.kind'), cell: (e) => word('kind', e.kind)},
        {label: t('security.subject'), cell: (e) => h('span', {class: 'mono'}, e.subject || DASH)},
        {label: t('security.address'), cell: (e) => h('span', {class: 'mono'}, e.address || DASH)},
        {label: t('security.count'), num: true, cell: (e) => String(e.count)},
        {label: t('security.first'), cell: (e) => time(e.first_seen)},
        {label: t('audit.detail'), wide: true, cell: (e) => e.detail},
    ];

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h(
                'div',
                {class: 'panel'},
                filters({path, fields: [{name: 'kind', type: 'select', label: t('security.kind'), value: query.kind, options}]}),
            ),
            paged_table({caption: t('nav.security'), columns, first: await ask(), more: ask, none: t('security.none')}),
        ],
    };
}
