// Calls to the router's account and administration API.
import * as session from './session.js';
import {t} from './strings.js';

/** What went wrong, in the API's words where it has said any. status 0: no answer. */
export class ApiError extends Error {
    constructor(status, error, request_id) {
        super(error.message);
        this.status = status;
        this.param = error.param ?? null;
        this.code = error.code ?? null;
        this.request_id = request_id;
    }
}

/** "/path?x=1" with the parts of `query` that are not empty. */
export function with_query(path, query = {}) {
    const params = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== ''));
    const text = params.toString();

    return text ? `${path}?${text}` : path;
}

async function send(method, path, body, headers) {
    const all = {...headers};

    if (session.token()) all.authorization = `Bearer ${session.token()}`;
    if (body !== undefined) all['content-type'] = 'application/json';
    return fetch(session.ROUTER + path, {
        method,
        headers: all,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: 'no-store',
    });
}

async function read(answer) {
    const text = await answer.text();
    const request_id = answer.headers.get('x-request-id');
    let body = null;

    try {
        body = text ? JSON.parse(text) : null;
    } catch {
        throw new ApiError(answer.status, {message: t('error.unreadable', {status: answer.status})}, request_id);
    }
    if (!answer.ok) throw new ApiError(answer.status, body?.error ?? {message: t('error.unreadable', {status: answer.status})}, request_id);
    return body;
}

function unreachable(e) {
    return e instanceof TypeError ? new ApiError(0, {message: t('error.unreachable')}) : e;
}

async function call(method, path, body, headers) {
    try {
        const used = session.token();

        try {
            if (used) return await read(await send(method, path, body, headers));
        } catch (e) {
            if (e.code !== 'invalid_token')
                // a wrong password is a 401, too
                throw e;
            session.expire(used);
        }
        if (!session.token() && !(await session.refresh())) throw new ApiError(401, {message: t('session.gone'), code: 'no_session'});
        return await read(await send(method, path, body, headers));
    } catch (e) {
        throw unreachable(e);
    }
}

export const get = (path, query) => call('GET', with_query(path, query));
export const post = (path, body, headers) => call('POST', path, body, headers);
export const patch = (path, body) => call('PATCH', path, body);
export const remove = (path) => call('DELETE', path);

/** All pages of a list that is known to be short (a user's keys, the plans). */
export async function get_all(path) {
    const rows = [];
    let cursor = null;

    do {
        const page = await get(path, {limit: 500, cursor});

        rows.push(...page.data);
        cursor = page.next;
    } while (cursor);
    return rows;
}

/** Without a session: sign-in and registration. */
export async function open_session(path, body) {
    try {
        const rep = await read(await send('POST', path, body, {}));

        session.begin(rep);
        return rep;
    } catch (e) {
        throw unreachable(e);
    }
}

/** A key under which a grant is made once, however often it is sent. */
export function idempotency_key() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
