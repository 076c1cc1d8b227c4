// The frame around every page: navigation, who is signed in, the language.
import {h} from './dom.js';
import {routes} from './routes.js';
import {ROUTER} from './session.js';
import {choose, language, languages, t} from './strings.js';

export function language_picker(redraw) {
    const select = h(
        'select',
        {
            id: 'language',
            onchange: (e) => {
                choose(e.target.value);
                redraw();
            },
        },
        languages.map(([value, name]) => h('option', {value, lang: value === 'zh' ? 'zh-CN' : 'en'}, name)),
    );

    select.value = language();
    return h('div', {class: 'language'}, h('label', {for: 'language', class: 'unseen'}, t('language')), select);
}

function links(admin) {
    return routes
        .filter((r) => r.nav && Boolean(r.all) === admin)
        .map((r) => h('li', {}, h('a', {href: `#/${r.path}`, 'data-path': r.path}, t(r.title))));
}

/** {root, main, mark(path)}: main is where pages go, mark() shows in the navigation where one is. */
export function shell({user, sign_out, redraw}) {
    const main = h('main', {id: 'main'});
    const menu = h(
        'div',
        {class: 'menu', id: 'menu'},
        h(
            'nav',
            {'aria-label': t('nav.label')},
            h('ul', {}, links(false)),
            user.role === 'admin' ? [h('h2', {}, t('nav.administration')), h('ul', {}, links(true))] : null,
        ),
        h(
            'div',
            {class: 'who'},
            h('p', {class: 'email', title: user.email}, user.email),
            h('div', {class: 'row'}, language_picker(redraw), h('button', {type: 'button', onclick: sign_out}, t('nav.sign_out'))),
            h('p', {class: 'muted small'}, t('nav.utc'), ' ', h('a', {href: `${ROUTER}/docs`}, t('nav.docs'))),
        ),
    );
    const toggle = h(
        'button',
        {
            type: 'button',
            class: 'toggle',
            'aria-expanded': 'false',
            'aria-controls': 'menu',
            onclick: () => open(!menu.classList.contains('open')),
        },
        t('nav.menu'),
    );
    const open = (yes) => {
        menu.classList.toggle('open', yes);
        toggle.setAttribute('aria-expanded', String(yes));
    };
    const skip = h(
        'a',
        {
            class: 'skip',
            href: '#main',
            onclick: (e) => {
                e.preventDefault(); // the hash is the address of the page
                main.querySelector('h1')?.focus();
            },
        },
        t('nav.skip'),
    );
    const root = h(
        'div',
        {class: 'shell'},
        skip,
        h('header', {class: 'side'}, h('div', {class: 'brand'}, h('a', {href: '#/'}, 'OpenAI Router'), toggle), menu),
        main,
    );

    return {
        root,
        main,
        mark: (path) => {
            open(false);
            menu.querySelectorAll('a[data-path]').forEach((a) => {
                const here = path === a.dataset.path || (a.dataset.path && path.startsWith(`${a.dataset.path}/`));

                if (here) a.setAttribute('aria-current', 'page');
                else a.removeAttribute('aria-current');
            });
        },
    };
}
