// What needs somebody: alerts that fire and those that are over, and who looks after them.
import {get, post} from '../api.js';
import {confirm_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {DASH, time} from '../format.js';
import {filters} from '../navigate.js';
import {t, word} from '../strings.js';
import {paged_table, tag} from '../table.js';

const STATES = ['firing', 'resolved'];

async function acknowledge(alert, reload) {
    if (
        await confirm_dialog({
            title: t('alerts.acknowledge'),
            text: t('alerts.acknowledge_text', {text: alert.text}),
            action: t('alerts.acknowledge'),
            act: () => post(`/api/admin/alerts/${alert.id}/acknowledge`),
        })
    )
        reload();
}

function state(alert) {
    if (alert.state !== 'firing') return tag('good', word('status', alert.state));
    return tag(alert.severity === 'critical' ? 'bad' : 'warn', word('severity', alert.severity));
}

function caretaker(alert, reload) {
    if (alert.acknowledged_at) return h('span', {}, time(alert.acknowledged_at), ' ', h('span', {class: 'mono small'}, alert.acknowledged_by));
    if (alert.state !== 'firing') return DASH;
    return h(
        'button',
        {type: 'button', 'aria-label': `${t('alerts.acknowledge')} ${alert.rule} ${alert.subject}`, onclick: () => acknowledge(alert, reload)},
        t('alerts.acknowledge'),
    );
}

export async function page({query, path, reload}) {
    const ask = (cursor) => get('/api/admin/alerts', {state: query.state, cursor});
    const options = [['', t('filter.any')], ...STATES.map((s) => [s, word('status', s)])];
    const columns = [
        {label: t('field.state'), cell: state},
        {label: t('alerts.text'), wide: true, cell: (a) => a.text},
        {label: t('alerts.rule'), cell: (a) => h('span', {class: 'mono'}, a.rule)},
        {label: t('alerts.since'), cell: (a) => time(a.since)},
        {label: t('alerts.last'), cell: (a) => time(a.last)},
        {label: t('alerts.acknowledged'), cell: (a) => caretaker(a, reload)},
    ];

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h(
                'div',
                {class: 'panel'},
                filters({path, fields: [{name: 'state', type: 'select', label: t('field.state'), value: query.state, options}]}),
            ),
            paged_table({caption: t('nav.alerts'), columns, first: await ask(), more: ask, none: t('alerts.none')}),
        ],
    };
}
