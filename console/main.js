// Starts the console: restores the session, draws the frame, shows the page that the address names.
import {get, post} from './api.js';
import {h} from './dom.js';
import {sign_in_page} from './pages/sign_in.js';
import {find, read_hash} from './routes.js';
import * as session from './session.js';
import {shell} from './shell.js';
import {t} from './strings.js';

const app = document.getElementById('app');
let user = null; // who is signed in
let notice = null; // for the sign-in page
let turn = 0; // an answer that comes when another page is shown already is dropped

function failed(e, again) {
    const id = e.request_id ? h('p', {class: 'muted small'}, t('error.request_id', {id: e.request_id})) : null;

    return h(
        'div',
        {class: 'failed', role: 'alert'},
        h('p', {}, h('strong', {}, t('error.title'))),
        h('p', {}, e.message),
        id,
        h('button', {type: 'button', class: 'primary', onclick: again}, t('error.again')),
    );
}

function draw(frame, title, actions, body) {
    const heading = h('h1', {tabindex: '-1'}, title);

    frame.main.replaceChildren(h('div', {class: 'head'}, heading, h('div', {class: 'row'}, actions)), ...body);
    document.title = `${title} · OpenAI Router`;
    return heading;
}

/* keep: the page is shown anew after a change, and what was there stays until the new is. */
async function show(frame, keep) {
    const mine = ++turn;
    const {path, query} = read_hash();
    const found = find(path);

    frame.mark(path);
    if (!found || (found.route.all && user.role !== 'admin')) {
        draw(
            frame,
            t('page.none'),
            [],
            [h('p', {class: 'empty'}, t('page.none_text')), h('p', {}, h('a', {href: '#/'}, t('nav.overview')))],
        ).focus();
        return;
    }
    const title = t(found.route.title);
    const reload = () => show(frame, true);

    if (!keep) draw(frame, title, [], [h('p', {class: 'loading', role: 'status'}, t('page.loading'))]).focus();
    frame.main.setAttribute('aria-busy', 'true');
    try {
        const page = await found.route.page({arg: found.arg, query, user, reload, all: Boolean(found.route.all), path});

        if (mine === turn) draw(frame, page.title ?? title, page.actions ?? [], page.body.filter(Boolean)).focus({preventScroll: keep});
    } catch (e) {
        if (mine === turn) draw(frame, title, [], [failed(e, () => show(frame, false))]);
        if (!e.request_id && e.status === undefined) throw e; // a mistake of ours belongs into the browser's log
    } finally {
        if (mine === turn) frame.main.removeAttribute('aria-busy');
    }
}

async function sign_out() {
    try {
        await post('/auth/logout');
    } catch {
        // not reached: the session ends here all the same, and by itself there
    }
    session.end();
}

/** After sign-in, and when the language was changed. */
function start() {
    const frame = shell({user, sign_out, redraw: start});

    app.replaceChildren(frame.root);
    window.onhashchange = () => show(frame, false);
    show(frame, false);
}

function sign_in() {
    turn++;
    document.querySelectorAll('dialog').forEach((d) => d.close());
    document.title = `${t('sign_in.title')} · OpenAI Router`;
    window.onhashchange = () => ['register', 'sign-in'].includes(read_hash().path) && sign_in();
    app.replaceChildren(sign_in_page({notice, register: read_hash().path === 'register', redraw: sign_in, done: entered}));
    app.querySelector('input').focus();
}

async function entered() {
    notice = null;
    user = await get('/auth/me');
    if (['register', 'sign-in'].includes(read_hash().path)) history.replaceState(null, '', '#/');
    start();
}

session.watch((why) => {
    user = null;
    notice = why === 'gone' ? t('session.gone') : null;
    sign_in();
});

async function boot() {
    app.replaceChildren(h('p', {class: 'loading alone', role: 'status'}, t('page.loading')));
    try {
        if (await session.refresh()) await entered();
        else if (!app.querySelector('form'))
            // unless the page is shown already: the session has just ended
            sign_in();
    } catch (e) {
        const again = {message: e instanceof TypeError ? t('error.unreachable') : e.message, request_id: e.request_id};

        app.replaceChildren(h('main', {class: 'alone'}, h('h1', {}, 'OpenAI Router'), failed(again, boot)));
    }
}

boot();
