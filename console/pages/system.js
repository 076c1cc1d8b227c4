// The services' health, the ledger recomputed, a backup.
import {get, post} from '../api.js';
import {form_dialog} from '../dialog.js';
import {h} from '../dom.js';
import {bytes, count, milliseconds, money, uptime} from '../format.js';
import {t} from '../strings.js';
import {facts, table, tag} from '../table.js';

function checks(service) {
    return table({
        caption: t('system.checks', {service: service.service}),
        rows: service.checks ?? [],
        none: t('system.no_checks'),
        columns: [
            {label: t('system.check'), cell: (c) => c.name},
            {label: t('field.state'), cell: (c) => (c.ok ? tag('good', t('system.ok')) : tag('bad', t('system.not_ok')))},
            {label: t('audit.detail'), wide: true, cell: (c) => c.detail},
        ],
    });
}

function service_panel(service) {
    const state = service.draining
        ? tag('warn', t('system.draining'))
        : service.ready
          ? tag('good', t('system.ready'))
          : tag('bad', t('system.not_ready'));

    return h(
        'section',
        {class: 'panel'},
        h('h2', {}, service.service, ' ', state),
        service.error
            ? h('p', {class: 'bad'}, service.error)
            : h(
                  'p',
                  {class: 'muted small'},
                  t('system.about', {
                      version: service.version,
                      instance: service.instance,
                      uptime: uptime(service.uptime_ms),
                      memory: bytes(service.rss_bytes),
                  }),
              ),
        checks(service),
    );
}

function ledger_result(report) {
    return [
        h('p', {}, tag(report.ok ? 'good' : 'bad', t(report.ok ? 'system.ledger_ok' : 'system.ledger_bad'))),
        facts([
            [t('system.accounts'), count(report.accounts)],
            [t('system.entries'), count(report.entries)],
            [t('usage.requests'), count(report.requests)],
            [t('system.sum'), money(report.sum_usd)],
            [t('system.chain'), h('span', {class: 'mono wrap'}, report.chain_head)],
        ]),
        report.problems?.length
            ? table({
                  caption: t('system.problems'),
                  rows: report.problems,
                  none: '',
                  columns: [
                      {label: t('ledger.account'), cell: (p) => p.account},
                      {label: t('system.problem'), wide: true, cell: (p) => p.problem},
                  ],
              })
            : null,
    ];
}

/* act() fills the result, or fails into it; once at a time. */
function runner(label, act) {
    const out = h('div', {class: 'result', role: 'status'});
    const button = h(
        'button',
        {
            type: 'button',
            onclick: async () => {
                button.disabled = true;
                out.replaceChildren(h('p', {class: 'loading'}, t('page.loading')));
                try {
                    out.replaceChildren(...(await act()).filter(Boolean));
                } catch (e) {
                    out.replaceChildren(h('p', {class: 'bad'}, e.message));
                }
                button.disabled = false;
            },
        },
        label,
    );

    return [h('div', {class: 'row'}, button), out];
}

async function back_up() {
    const made = await form_dialog({
        title: t('system.backup'),
        text: t('system.backup_text'),
        submit: t('system.backup_do'),
        fields: [{name: 'name', label: t('system.backup_name'), hint: t('system.backup_hint')}],
        on_submit: (values) => post('/api/admin/system/backup', values),
    });

    return made ? [h('p', {}, t('system.backup_done', {path: made.path, bytes: bytes(made.bytes), time: milliseconds(made.ms)}))] : [];
}

export async function page({reload}) {
    const system = await get('/api/admin/system');

    return {
        actions: [h('button', {type: 'button', onclick: reload}, t('page.refresh'))],
        body: [
            h('p', {}, tag(system.status === 'ok' ? 'good' : 'bad', t(system.status === 'ok' ? 'system.all_well' : 'system.degraded'))),
            h(
                'section',
                {class: 'panel'},
                h('h2', {}, t('system.ledger')),
                h('p', {class: 'muted'}, t('system.ledger_text')),
                runner(t('system.verify'), async () => ledger_result(await get('/api/admin/system/ledger'))),
            ),
            h('section', {class: 'panel'}, h('h2', {}, t('system.backup')), runner(t('system.backup_do'), back_up)),
            system.services.map(service_panel),
        ].flat(),
    };
}
