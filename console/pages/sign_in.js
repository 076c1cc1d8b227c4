// Sign in and register: the only page without a session. What one wanted to see stays in the address and comes afterwards.
import {open_session} from '../api.js';
import {h} from '../dom.js';
import {form} from '../forms.js';
import {language_picker} from '../shell.js';
import {t} from '../strings.js';

const EMAIL = () => ({name: 'email', type: 'email', label: t('field.email'), autocomplete: 'username', required: true});

export function sign_in_page({notice, register, redraw, done}) {
    const path = register ? '/auth/register' : '/auth/login';
    const password = {
        name: 'password',
        type: 'password',
        label: t('field.password'),
        required: true,
        autocomplete: register ? 'new-password' : 'current-password',
        hint: register ? t('field.password_hint') : undefined,
    };
    const name = {name: 'name', label: t('field.name_optional'), autocomplete: 'name'};
    const code = {name: 'code', label: t('register.code'), hint: t('register.code_hint')};

    return h(
        'main',
        {class: 'alone'},
        h('div', {class: 'row between'}, h('p', {class: 'brand'}, 'OpenAI Router'), language_picker(redraw)),
        h('h1', {}, register ? t('register.title') : t('sign_in.title')),
        notice ? h('p', {class: 'warning', role: 'alert'}, notice) : null,
        form({
            fields: register ? [EMAIL(), name, password, code] : [EMAIL(), password],
            submit: register ? t('register.submit') : t('sign_in.submit'),
            on_submit: async (values) => {
                await open_session(path, values);
                await done();
            },
        }),
        h(
            'p',
            {class: 'muted'},
            register ? h('a', {href: '#/sign-in'}, t('register.instead')) : h('a', {href: '#/register'}, t('sign_in.instead')),
        ),
    );
}
