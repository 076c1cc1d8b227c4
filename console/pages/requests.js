// The log of calls, newest first: the reader's own, or everybody's.
import {get, get_all} from '../api.js';
import {h} from '../dom.js';
import {filters} from '../navigate.js';
import {t, word} from '../strings.js';
import {paged_table} from '../table.js';
import {STATUSES, call_columns} from './calls.js';

const ROWS = 50;

function filter_fields(query, keys, all) {
    const any = ['', t('filter.any')];
    const key = all
        ? {name: 'key', label: t('field.key_id'), value: query.key}
        : {name: 'key', type: 'select', label: t('field.key'), value: query.key, options: [any, ...keys.map((k) => [k.id, k.name])]};

    return [
        all ? {name: 'user', label: t('field.user_id'), value: query.user} : null,
        {name: 'model', label: t('field.model'), value: query.model},
        key,
        {
            name: 'status',
            type: 'select',
            label: t('field.status'),
            value: query.status,
            options: [any, ...STATUSES.map((s) => [s, word('status', s)])],
        },
        {name: 'from', type: 'time', label: t('filter.from'), value: Number(query.from) || ''},
        {name: 'to', type: 'time', label: t('filter.to'), value: Number(query.to) || ''},
    ].filter(Boolean);
}

export async function page({query, all, path, reload}) {
    const {user, model, key, status, from, to} = query;
    const ask = (cursor) =>
        get(all ? '/api/admin/requests' : '/api/usage/requests', {
            limit: ROWS,
            user: all ? user : '',
            model,
            key,
            status,
            from,
            to,
            cursor,
        });
    const [first, keys] = await Promise.all([ask(), all ? [] : get_all('/api/keys')]);

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h('div', {class: 'panel'}, filters({path, fields: filter_fields(query, keys, all)})),
            paged_table({
                caption: t('nav.requests'),
                first,
                more: ask,
                none: t('requests.none'),
                columns: call_columns({base: path, keys, all}),
            }),
        ],
    };
}
