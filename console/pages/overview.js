// What matters first: the credit, the last seven days, the last calls; for somebody new, how to begin.
import {get, get_all} from '../api.js';
import {bar_chart, slots} from '../chart.js';
import {h} from '../dom.js';
import {count, dearest, money, now} from '../format.js';
import {ROUTER} from '../session.js';
import {t} from '../strings.js';
import {table} from '../table.js';
import {call_columns} from './calls.js';
import {create_key} from './keys.js';

const DAYS = 7,
    TOP_MODELS = 5,
    LAST_CALLS = 8;

export function figure_card(label, value, note) {
    return h(
        'div',
        {class: 'card'},
        h('h2', {}, label),
        h('p', {class: 'figure'}, value),
        note ? h('p', {class: 'muted small'}, note) : null,
    );
}

function snippet(title, text) {
    return h('div', {}, h('h3', {}, title), h('pre', {tabindex: '0', role: 'region', 'aria-label': title}, text));
}

function first_steps(reload) {
    return h(
        'section',
        {class: 'panel', id: 'first-steps'},
        h('h2', {}, t('first.title')),
        h('p', {}, t('first.text')),
        h('p', {}, h('button', {type: 'button', class: 'primary', onclick: () => create_key(reload)}, t('keys.create'))),
        snippet(
            'curl',
            `curl ${ROUTER}/v1/chat/completions \\\n  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n` +
                '  -d \'{"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]}\'',
        ),
        snippet(
            'Python (openai)',
            `from openai import OpenAI\n\nclient = OpenAI(base_url="${ROUTER}/v1", api_key=KEY)\n` +
                'print(client.chat.completions.create(\n    model="echo", messages=[{"role": "user", "content": "Hello!"}]).choices[0].message.content)',
        ),
    );
}

function top_models(by_model) {
    const rows = [...by_model.data].sort(dearest).slice(0, TOP_MODELS);

    return table({
        caption: t('overview.top_models'),
        rows,
        none: t('usage.none'),
        columns: [
            {label: t('field.model'), cell: (r) => r.model},
            {label: t('usage.requests'), num: true, cell: (r) => count(r.requests)},
            {label: t('usage.cost'), num: true, cell: (r) => money(r.cost_usd)},
        ],
    });
}

export async function page({reload}) {
    const to = now(),
        from = (Math.floor(to / 86400) - DAYS + 1) * 86400;
    const [credits, by_day, by_model, calls, keys] = await Promise.all([
        get('/api/credits'),
        get('/api/usage', {from, group_by: 'model,day'}),
        get('/api/usage', {from, group_by: 'model'}),
        get('/api/usage/requests', {limit: LAST_CALLS}),
        get_all('/api/keys'),
    ]);
    const {total} = by_model;
    const chart = bar_chart({
        title: t('overview.cost_by_day'),
        unit: '$',
        show: money,
        value_label: t('usage.cost'),
        slots: slots(from, to, false),
        points: by_day.data.map((g) => ({slot: g.time, series: g.model, value: g.cost_usd})),
    });
    const seven = t('overview.seven_days');

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            keys.some((k) => k.status === 'active') ? null : first_steps(reload),
            h(
                'div',
                {class: 'cards'},
                figure_card(t('credits.balance'), money(credits.balance_usd)),
                figure_card(t('credits.held'), money(credits.held_usd), t('credits.held_text')),
                figure_card(t('credits.spent'), money(credits.spent_usd)),
                figure_card(t('usage.requests'), count(total.requests), seven),
                figure_card(t('usage.errors'), count(total.errors), seven),
                figure_card(t('usage.cost'), money(total.cost_usd), seven),
            ),
            h('section', {class: 'panel'}, chart),
            h(
                'section',
                {class: 'panel'},
                h('h2', {}, t('overview.top_models')),
                h('p', {class: 'muted small'}, seven),
                top_models(by_model),
            ),
            h(
                'section',
                {class: 'panel'},
                h('h2', {}, t('overview.last_calls')),
                table({
                    caption: t('overview.last_calls'),
                    rows: calls.data,
                    none: t('requests.none'),
                    columns: call_columns({base: 'requests', keys}),
                }),
            ),
        ],
    };
}
