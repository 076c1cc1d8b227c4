// One call with its receipt: what it was, who was asked, which price held, which entries the ledger has for it.
import {get} from '../api.js';
import {h} from '../dom.js';
import {DASH, count, milliseconds, money, time} from '../format.js';
import {t, word} from '../strings.js';
import {facts, table, tag} from '../table.js';
import {status_tag} from './calls.js';
import {ledger_columns} from './credits.js';
import {price_facts} from './price.js';

const TOKENS = [
    ['usage.input', 'prompt_tokens'],
    ['usage.cached', 'cached_tokens'],
    ['usage.cache_write', 'cache_write_tokens'],
    ['usage.cache_write_long', 'cache_write_long_tokens'],
    ['usage.output', 'completion_tokens'],
    ['usage.reasoning', 'reasoning_tokens'],
    ['usage.audio_input', 'audio_input_tokens'],
    ['usage.audio_output', 'audio_output_tokens'],
    ['usage.image_input', 'image_input_tokens'],
    ['usage.image_output', 'image_output_tokens'],
];
const ALWAYS = ['prompt_tokens', 'cached_tokens', 'completion_tokens', 'reasoning_tokens']; // the others where there are any

function token_facts(call) {
    return facts([
        ...TOKENS.filter(([, field]) => call[field] || ALWAYS.includes(field)).map(([label, field]) => [t(label), count(call[field])]),
        call.estimated ? [t('request.estimated'), t('request.estimated_text')] : null,
    ]);
}

function attempts(call) {
    return table({
        caption: t('request.attempts'),
        rows: call.attempt_log ?? [],
        none: t('request.no_attempts'),
        columns: [
            {label: '#', num: true, cell: (a) => a.number},
            {label: t('field.provider'), cell: (a) => a.provider},
            {label: t('request.upstream_model'), cell: (a) => a.upstream_model},
            {label: t('request.outcome'), cell: (a) => tag(a.outcome === 'ok' ? 'good' : 'bad', word('outcome', a.outcome))},
            {label: 'HTTP', num: true, cell: (a) => a.http_status || DASH},
            {label: t('usage.input'), num: true, cell: (a) => count(a.prompt_tokens)},
            {label: t('usage.output'), num: true, cell: (a) => count(a.completion_tokens)},
            {label: t('usage.latency'), num: true, cell: (a) => milliseconds(a.latency_ms)},
            {label: t('usage.cost'), num: true, cell: (a) => money(a.cost_usd)},
            {label: t('request.paid_by'), cell: (a) => (a.answered ? t('request.paid_by_user') : t('request.paid_by_operator'))},
        ],
    });
}

function section(title, ...body) {
    return h('section', {class: 'panel'}, h('h2', {}, title), body);
}

export async function page({arg, all}) {
    const call = await get(`${all ? '/api/admin/requests' : '/api/usage/requests'}/${encodeURIComponent(arg)}`);
    const back = all ? '#/admin/requests' : '#/requests';

    return {
        actions: [h('a', {class: 'button', href: back}, t('request.back'))],
        body: [
            section(
                t('request.call'),
                facts([
                    [t('request.id'), h('span', {class: 'mono'}, call.request_id)],
                    [t('usage.time'), time(call.created)],
                    [t('field.status'), status_tag(call)],
                    all ? [t('field.user'), h('a', {href: `#/admin/users/${call.user_id}`, class: 'mono'}, call.user_id)] : null,
                    [t('field.key'), h('span', {class: 'mono'}, call.key_id)],
                    [t('field.model'), call.model],
                    [t('request.endpoint'), call.endpoint],
                    [t('field.provider'), call.provider || DASH],
                    [t('request.upstream_model'), call.upstream_model || DASH],
                    [t('request.stream'), call.stream ? t('yes') : t('no')],
                    [t('usage.latency'), milliseconds(call.latency_ms)],
                    [t('request.ttft'), milliseconds(call.ttft_ms)],
                ]),
            ),
            section(
                t('request.cost'),
                facts([
                    [t('usage.cost'), money(call.cost_usd)],
                    [t('request.hold'), money(call.hold_usd)],
                    [t('request.overage'), money(call.overage_usd)],
                    call.price_percent ? [t('request.percent'), `${call.price_percent} %`] : null,
                ]),
            ),
            section(t('request.tokens'), token_facts(call)),
            section(t('request.attempts'), attempts(call)),
            call.price ? section(t('request.price'), h('p', {class: 'muted small'}, t('price.unit')), price_facts(call.price)) : null,
            section(
                t('request.entries'),
                table({
                    caption: t('request.entries'),
                    rows: call.entries ?? [],
                    none: t('ledger.none'),
                    columns: ledger_columns({account: true}),
                }),
            ),
        ],
    };
}
