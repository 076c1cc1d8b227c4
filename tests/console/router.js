// A router of its own for the browser tests, and the API as whoever calls it. Every test file runs in a process of its own: run.js has
// started the router that they share and says where it is in ROUTER_URL.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const BIN = process.env.BIN_DIR || fileURLToPath(new URL('../../build/bin', import.meta.url));
const START_MS = 30000;
const STOP_MS = 30000;

export const ADMIN = { email: 'admin@example.com', password: 'an-admin-password' };

/** Polls check() until it gives something true, and gives that; throws with `what` when the time is over. */
export async function until(what, check, ms = 10000) {
  for (const end = Date.now() + ms; ; await new Promise((done) => setTimeout(done, 20))) {
    const got = await check();
    if (got) return got;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

/** The router as a client sees it: everything a test needs to bring about what a page is to show. */
export class Api {
  /** @param {string} url without a slash at its end */
  constructor(url) {
    this.url = url;
  }

  /** One call, whatever comes of it: {status, headers, body}; body is parsed when it is JSON. token: access token or API key. */
  async call(method, at, body, token, headers = {}) {
    const answer = await fetch(this.url + at, {
      method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    const json = answer.headers.get('content-type')?.startsWith('application/json');
    return { status: answer.status, headers: answer.headers, body: json ? JSON.parse(text) : text };
  }

  /** The body of a call that must work. */
  async ok(method, at, body, token) {
    const answer = await this.call(method, at, body, token);
    if (answer.status < 200 || answer.status > 299) throw new Error(`${method} ${at}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** An access token. */
  async login(who = ADMIN) {
    return (await this.ok('POST', '/auth/login', who)).access_token;
  }

  /** Who signs up himself: {email, password, token, user}. */
  async register(email = someone()) {
    const password = randomBytes(12).toString('hex');
    const session = await this.ok('POST', '/auth/register', { email, password });
    return { email, password, token: session.access_token, user: session.user };
  }

  /** A user made by the administrator, by default without limits and with 10 USD: {email, password, token, user}. */
  async newUser({ email = someone(), credit = '10', plan = 'unlimited' } = {}) {
    const admin = await this.login();
    const password = randomBytes(12).toString('hex');
    const user = await this.ok('POST', '/api/admin/users', { email, password, plan }, admin);
    if (credit) await this.ok('POST', `/api/admin/users/${user.id}/credits`, { amount_usd: credit, note: 'test' }, admin);
    return { email, password, token: await this.login({ email, password }), user };
  }

  /** A key of the token's user, whole: its secret is in `key`. */
  newKey(token, limits = {}) {
    return this.ok('POST', '/api/keys', { name: 'test', ...limits }, token);
  }

  /** One chat, by default with the built-in echo model. */
  chat(key, content = 'hello', fields = {}) {
    return this.ok('POST', '/v1/chat/completions', { model: 'echo', messages: [{ role: 'user', content }], ...fields }, key);
  }

  /** The user's calls, newest first, as soon as n of them are billed. */
  billed(token, n) {
    return until(`${n} calls are billed`, async () => {
      const { data } = await this.ok('GET', '/api/usage/requests?limit=500', undefined, token);
      return data.length >= n && data;
    });
  }
}

function someone() {
  return `${randomBytes(6).toString('hex')}@example.com`;
}

/**
 * Starts a router in a temporary folder on a free port; settings are environment variables.
 * @returns {{api: Api, url: string, stop: () => Promise<void>, kill: () => Promise<void>}} stop ends it as an operator would and throws
 * when it did not end well; after either nothing is left
 */
export async function startRouter(settings = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'console-test-'));
  const said = [];
  const child = spawn(path.join(BIN, 'openai-router'), {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      DB_PATH: path.join(folder, 'app.db'),
      SPOOL_DIR: path.join(folder, 'spool'),
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      ...settings,
    },
  });
  const ended = new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => done(signal ?? code));
  });
  const end = async (signal, good) => {
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    child.kill(signal);
    const how = await ended;
    clearTimeout(killer);
    rmSync(folder, { recursive: true, force: true });
    if (how !== good) throw new Error(`the router ended with ${how}:\n${said.slice(-20).join('\n')}`);
  };
  const listening = new Promise((done) => {
    readline.createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      if (line.includes('"event":"listening"')) done(JSON.parse(line).port);
    });
  });
  const port = await Promise.race([listening, ended.then(() => null), new Promise((done) => setTimeout(done, START_MS, null).unref())]);
  if (!port) await end('SIGKILL', 'a port');
  const api = new Api(`http://127.0.0.1:${port}`);
  await until('the router is ready', async () => (await api.call('GET', '/health/ready')).status === 200, START_MS);
  return { api, url: api.url, stop: () => end('SIGTERM', 0), kill: () => end('SIGKILL', 'SIGKILL') };
}
