// Who changed what, newest first.
import {get} from '../api.js';
import {h} from '../dom.js';
import {time} from '../format.js';
import {t} from '../strings.js';
import {paged_table} from '../table.js';

export async function page() {
    const ask = (cursor) => get('/api/admin/audit', {cursor});
    const actor = (e) => (e.actor_id ? h('a', {class: 'mono', href: `#/admin/users/${e.actor_id}`}, e.actor_id) : t('audit.config'));
    const columns = [
        {label: t('usage.time'), cell: (e) => time(e.created)},
        {label: t('audit.actor'), cell: actor},
        {label: t('audit.action'), cell: (e) => h('span', {class: 'mono'}, e.action)},
        {label: t('audit.object'), cell: (e) => h('span', {class: 'mono'}, e.object)},
        {label: t('audit.detail'), wide: true, cell: (e) => h('span', {class: 'mono small'}, e.detail)},
    ];

    return {body: [paged_table({caption: t('nav.audit'), columns, first: await ask(), more: ask, none: t('audit.none')})]};
}
