// Usage in sums: over time as a chart, by model, key, time or user as a table. The reader's own, or everybody's.
import {get, get_all} from '../api.js';
import {bar_chart, slots} from '../chart.js';
import {h} from '../dom.js';
import {count, csv, dearest, milliseconds, money, now, period} from '../format.js';
import {address, filters} from '../navigate.js';
import {t} from '../strings.js';
import {table} from '../table.js';
import {key_name} from './calls.js';
import {figure_card} from './overview.js';

const HOUR = 3600,
    DAY = 86400;
const RANGES = {'24h': [HOUR, 24], '7d': [DAY, 7], '30d': [DAY, 30]};
const HOURLY_UP_TO = 2 * DAY; // a chart of a longer time has a bar per day
const GROUPS = ['model', 'key', 'day', 'hour'];

function midnight(text) {
    return Date.parse(`${text}T00:00:00Z`) / 1000;
}

/** The time that the address asks for, Unix seconds; whole hours or days of UTC. */
function span(query) {
    const custom = query.range === 'custom' && query.first && query.last;
    const range = RANGES[query.range] ? query.range : '7d';
    const [step, n] = RANGES[range];
    const begun = Math.floor(now() / step) * step;

    if (custom) return {range: 'custom', from: midnight(query.first), to: midnight(query.last) + DAY};
    return {range, from: begun - (n - 1) * step, to: begun + step};
}

function names(group, keys, hourly) {
    return (
        {
            model: (g) => g.model,
            key: (g) => key_name(keys, g.key_id),
            user: (g) => g.email || g.user_id,
            day: (g) => period(g.time, false),
            hour: (g) => period(g.time, true),
        }[group] ?? ((g) => period(g.time, hourly))
    );
}

const FIGURES = [
    ['usage.requests', 'requests'],
    ['usage.errors', 'errors'],
    ['usage.input', 'prompt_tokens'],
    ['usage.cached', 'cached_tokens'],
    ['usage.cache_write', 'cache_write_tokens'],
    ['usage.output', 'completion_tokens'],
    ['usage.reasoning', 'reasoning_tokens'],
];

function group_label(group) {
    return t(`group.${group}`);
}

function groups_table(group, rows, name) {
    return table({
        caption: t('usage.by', {group: group_label(group)}),
        rows,
        none: t('usage.none'),
        columns: [
            {
                label: group_label(group),
                cell: (g) => (group === 'user' && g.user_id ? h('a', {href: `#/admin/users/${g.user_id}`}, name(g)) : name(g)),
            },
            ...FIGURES.map(([label, field]) => ({label: t(label), num: true, cell: (g) => count(g[field])})),
            {label: t('usage.latency_avg'), num: true, cell: (g) => milliseconds(g.latency_ms_avg)},
            {label: t('usage.cost'), num: true, cell: (g) => money(g.cost_usd)},
        ],
    });
}

function download(group, rows, name) {
    const head = [group, ...FIGURES.map(([, field]) => field), 'latency_ms_avg', 'cost_usd'];
    const text = csv([head, ...rows.map((g) => [name(g), ...FIGURES.map(([, field]) => g[field]), g.latency_ms_avg, g.cost_usd])]);
    const url = URL.createObjectURL(new Blob([text], {type: 'text/csv'}));

    h('a', {href: url, download: `usage-by-${group}.csv`}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function range_links(path, query, range) {
    const one = (name) =>
        h(
            'a',
            {href: address(path, {...query, range: name}), class: 'button', 'aria-current': name === range ? 'true' : null},
            t(`range.${name}`),
        );

    return h('div', {class: 'row', role: 'group', 'aria-label': t('range.label')}, Object.keys(RANGES).map(one));
}

function controls(path, query, time, all) {
    const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

    return h(
        'div',
        {class: 'panel stack'},
        range_links(path, query, time.range),
        filters({
            path,
            keep: {range: 'custom', group: query.group},
            fields: [
                {name: 'first', type: 'date', label: t('range.first'), value: day(time.from)},
                {name: 'last', type: 'date', label: t('range.last'), value: day(time.to - 1)},
                all ? {name: 'user', label: t('field.user_id'), value: query.user} : null,
            ].filter(Boolean),
        }),
    );
}

function group_links(path, query, group, all) {
    const groups = all ? ['user', ...GROUPS] : GROUPS;

    return h(
        'div',
        {class: 'row', role: 'group', 'aria-label': t('usage.group_by')},
        groups.map((g) =>
            h(
                'a',
                {href: address(path, {...query, group: g}), class: 'button', 'aria-current': g === group ? 'true' : null},
                group_label(g),
            ),
        ),
    );
}

export async function page({query, all, path, reload}) {
    const group = (all ? ['user', ...GROUPS] : GROUPS).includes(query.group) ? query.group : all ? 'user' : 'model';
    const time = span(query),
        timed = group === 'day' || group === 'hour';
    const hourly = time.to - time.from <= HOURLY_UP_TO;
    const unit = hourly ? 'hour' : 'day';
    const base = all ? '/api/admin/usage' : '/api/usage';
    const ask = (group_by) => get(base, {from: time.from, to: time.to, user: query.user, group_by});
    const [by_group, over_time, keys] = await Promise.all([
        ask(group),
        ask(timed ? unit : `${group},${unit}`),
        all ? [] : get_all('/api/keys'),
    ]);
    const name = names(group, keys, hourly),
        series = timed ? () => '' : name;
    const rows = timed ? [...by_group.data] : [...by_group.data].sort(dearest);
    const {total} = by_group;

    return {
        actions: [
            h('button', {type: 'button', onclick: reload}, t('page.refresh')),
            h('button', {type: 'button', disabled: !rows.length, onclick: () => download(group, rows, name)}, t('usage.csv')),
        ],
        body: [
            controls(path, query, time, all),
            h(
                'div',
                {class: 'cards'},
                figure_card(t('usage.cost'), money(total.cost_usd)),
                figure_card(t('usage.latency_avg'), milliseconds(total.latency_ms_avg)),
                FIGURES.map(([label, field]) =>
                    figure_card(t(label), count(total[field]), field.endsWith('_tokens') ? t('usage.tokens') : null),
                ),
            ),
            h(
                'section',
                {class: 'panel'},
                bar_chart({
                    title: t(hourly ? 'usage.cost_by_hour' : 'usage.cost_by_day'),
                    unit: '$',
                    show: money,
                    value_label: t('usage.cost'),
                    slots: slots(time.from, time.to, hourly),
                    points: over_time.data.map((g) => ({slot: g.time, series: series(g), value: g.cost_usd})),
                }),
            ),
            h('section', {class: 'panel stack'}, group_links(path, query, group, all), groups_table(group, rows, name)),
        ],
    };
}
