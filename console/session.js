// Who is signed in. The access token lives in this page's memory, the refresh token in the tab's sessionStorage.
//
// A refresh token is good for one use, and a second use ends the session for everybody who has it. Tabs may share one (a duplicated
// tab has a copy of sessionStorage, a link opened in a new tab is signed in by the tab it came from), so they tell each other over a
// channel: whoever is about to use a token asks first whether another tab has used it already, and takes that tab's tokens.

const STORED = 'console.refresh';
const ANSWER_MS = 150; // how long another tab has to say that it knows the session
const LOCK = 'console.refresh';

/** The address of the router without its last slash: a proxy may have put all of it below a path. */
export const ROUTER = new URL('..', import.meta.url).href.replace(/\/$/, '');

const channel = new BroadcastChannel('console.session');
const used = new Set(); // refresh tokens that came before the one in force
const on_change = new Set();
let access = null;
let refused = null; // an access token that the router has refused: another tab's copy of it is no help
let asked = null; // {token, answer()} while this tab waits for another one's answer
let refreshing = null; // one refresh at a time: all who find the access token expired wait for the same

function refresh_token() {
    return sessionStorage.getItem(STORED);
}

function take(tokens) {
    const before = refresh_token();

    if (before && before !== tokens.refresh) used.add(before);
    sessionStorage.setItem(STORED, tokens.refresh);
    access = tokens.access;
}

function drop(why) {
    if (!access && !refresh_token()) return;
    access = null;
    used.clear();
    sessionStorage.removeItem(STORED);
    on_change.forEach((fn) => fn(why));
}

channel.onmessage = ({data}) => {
    const mine = refresh_token();
    const knows = access && access !== data.access && (data.ask === null || data.ask === mine || used.has(data.ask));

    if (data.type === 'ask' && knows) channel.postMessage({type: 'answer', to: data.ask, tokens: {access, refresh: mine}});
    else if (data.type === 'answer' && asked && data.to === asked.token) asked.answer(data.tokens);
    else if (data.type === 'rotated' && mine && data.before === mine) take(data.tokens);
    else if (data.type === 'out' && mine && data.refresh === mine) drop('out');
};

function ask(token) {
    return new Promise((resolve) => {
        const done = (tokens) => {
            asked = null;
            resolve(tokens);
        };

        asked = {token, answer: done};
        channel.postMessage({type: 'ask', ask: token, access: refused});
        setTimeout(done, ANSWER_MS, null);
    });
}

async function rotate() {
    const before = refresh_token(),
        held = access;
    const known = await ask(before);
    const now = refresh_token();

    if (known) {
        take(known);
        return true;
    }
    if (!before || now !== before) return now !== null && access !== held; // told meanwhile by the tab that used it
    const answer = await fetch(`${ROUTER}/auth/refresh`, {
        method: 'POST',
        headers: {'content-type': 'application/json'},
        body: JSON.stringify({refresh_token: before}),
    });
    if (answer.status >= 500 || answer.status === 429) throw new TypeError(`refresh: ${answer.status}`); // not refused: the token may still be good
    if (!answer.ok) {
        drop('gone');
        return false;
    }
    const body = await answer.json();
    const tokens = {access: body.access_token, refresh: body.refresh_token};

    take(tokens);
    channel.postMessage({type: 'rotated', before, tokens});
    return true;
}

/** A new access token. false: there is no session (any more). Throws TypeError when the router cannot be reached. */
export function refresh() {
    // Locks exist in secure contexts only; elsewhere the channel alone keeps tabs apart.
    refreshing ??= (navigator.locks ? navigator.locks.request(LOCK, rotate) : rotate()).finally(() => {
        refreshing = null;
    });
    return refreshing;
}

/** Begins with an answer of /auth/login or /auth/register. */
export function begin(body) {
    used.clear();
    sessionStorage.removeItem(STORED); // what was there may be somebody else's: it is not one of this session's
    take({access: body.access_token, refresh: body.refresh_token});
}

/** Ends it here and in the tabs that share it, after the router was told. */
export function end() {
    channel.postMessage({type: 'out', refresh: refresh_token()});
    drop('out');
}

export function token() {
    return access;
}

/** The router has refused this access token. Calls run side by side: by now there may be another one, which stays. */
export function expire(token_used) {
    if (access !== token_used) return;
    refused = access;
    access = null;
}

/** fn('out' | 'gone') when the session has ended. */
export function watch(fn) {
    on_change.add(fn);
}
