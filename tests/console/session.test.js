// Signing in and up, and what becomes of a session: reloads, expiry, two tabs, its end.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { api, consoleTest, startRouter, until, visit } from './lib.js';
import { card, enter, go, settled, submitSignIn, usd } from './pages.js';

const WRONG = [/^401: POST \/auth\/login$/];

/** The tokens that the page holds, by the module that it uses itself. */
function tokens(page) {
  return page.evaluate(async () => ({
    access: (await import('/console/session.js')).token(),
    refresh: sessionStorage.getItem('console.refresh'),
  }));
}

/** The access token is good no more, as after a quarter of an hour: the router refuses it. */
function spoil(page) {
  return page.evaluate(async () => {
    const session = await import('/console/session.js');
    session.begin({ access_token: `${session.token()}x`, refresh_token: sessionStorage.getItem('console.refresh') });
  });
}

consoleTest('a wrong password: the words of the API', { expected: WRONG }, async ({ page, open }) => {
  const bob = await api.newUser();
  const said = await api.call('POST', '/auth/login', { email: bob.email, password: 'not his password' });
  await open('#/keys');
  await submitSignIn(page, { email: bob.email, password: 'not his password' });
  const alert = page.getByRole('alert');
  await alert.waitFor();
  assert.equal(await alert.textContent(), said.body.error.message);
  await submitSignIn(page, bob);
  await settled(page, 'Keys'); // where he wanted to go
});

consoleTest('somebody new registers, and is told how to begin', { expected: [/^400: POST \/auth\/register$/] }, async ({ page, open }) => {
  const email = `new-${Date.now()}@example.com`;
  await open();
  await page.getByRole('link', { name: 'Create an account' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('short');
  await page.getByRole('button', { name: 'Create account' }).click();
  const field = page.getByLabel('Password');
  await page.locator('[aria-invalid]').waitFor();
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  assert.match(await page.locator(`#${(await field.getAttribute('aria-describedby')).split(' ').at(-1)}`).textContent(), /8 to 1024 bytes/);
  await field.fill('long enough for this');
  await page.getByRole('button', { name: 'Create account' }).click();
  await settled(page, 'Overview');
  await page.locator('#first-steps').waitFor();
  assert.match(await page.locator('#first-steps').textContent(), new RegExp(`${api.url}/v1/chat/completions`));
  assert.match(await page.locator('#first-steps').textContent(), new RegExp(`base_url="${api.url}/v1"`));
  assert.equal(await page.getByText('Administration').count(), 0);
});

test('where sign-up is closed the API says so', async () => {
  const router = await startRouter({ SIGNUP: 'closed' });
  try {
    const problems = await visit({ api: router.api, expected: [/^403: POST \/auth\/register$/] }, async ({ page, open }) => {
      await open('#/register');
      await page.getByLabel('E-mail').fill('eve@example.com');
      await page.getByLabel('Password').fill('long enough for this');
      await page.getByRole('button', { name: 'Create account' }).click();
      const said = await router.api.call('POST', '/auth/register', { email: 'eve@example.com', password: 'long enough for this' });
      assert.equal(await page.getByRole('alert').textContent(), said.body.error.message);
    });
    assert.deepEqual(problems, []);
  } finally {
    await router.stop();
  }
});

test('who is invited signs up with the code', async () => {
  const router = await startRouter({ SIGNUP: 'invite', SIGNUP_CREDITS_USD: '0' });
  try {
    const made = await router.api.ok('POST', '/api/admin/codes', { amount_usd: '2.5' }, await router.api.login());
    const problems = await visit({ api: router.api, expected: [/^403: POST \/auth\/register$/] }, async ({ page, open }) => {
      await open('#/register');
      await page.getByLabel('E-mail').fill('ann@example.com');
      await page.getByLabel('Password').fill('long enough for this');
      await page.getByRole('button', { name: 'Create account' }).click();
      await page.getByText('Sign-up is by invitation').waitFor();
      await page.getByLabel('Code').fill(made.data[0].code);
      await page.getByRole('button', { name: 'Create account' }).click();
      await page.getByText('$2.5').first().waitFor();
    });
    assert.deepEqual(problems, []);
  } finally {
    await router.stop();
  }
});

consoleTest('a reload keeps the session and the page', async (visitor) => {
  const { page } = visitor;
  await enter(visitor, await api.newUser(), '#/credits');
  for (let i = 0; i < 3; i++) {
    await page.reload();
    await settled(page, 'Credits');
  }
  assert.equal(await card(page, 'Balance'), '$10');
});

consoleTest('an access token that has expired is replaced, once for all calls', { expected: [/^401: GET \/api\//] }, async (visitor) => {
  const { page } = visitor;
  const refreshes = [];
  page.on('request', (request) => request.url().endsWith('/auth/refresh') && refreshes.push(request));
  await enter(visitor, await api.newUser());
  const before = await tokens(page);
  await spoil(page);
  await page.getByRole('button', { name: 'Refresh' }).click(); // five calls at once
  await until('a new token', async () => (await tokens(page)).refresh !== before.refresh);
  await settled(page, 'Overview');
  assert.equal(await card(page, 'Balance'), '$10');
  assert.equal(refreshes.length, 1);
});

consoleTest('a session that was ended elsewhere: sign in again, and be where one was', { expected: [/^401: /] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await enter(visitor, bob, '#/credits');
  const admin = await api.login();
  await api.ok('POST', `/api/admin/users/${bob.user.id}/password`, { password: bob.password }, admin); // ends all his sessions
  await page.getByRole('link', { name: 'Usage', exact: true }).click();
  assert.equal(await page.getByRole('alert').textContent(), 'Your session has ended. Sign in again to go on.');
  await submitSignIn(page, bob);
  await settled(page, 'Usage');
});

consoleTest('signing out ends the session at the router, too', async (visitor) => {
  const { page } = visitor;
  await enter(visitor, await api.newUser());
  const { access, refresh } = await tokens(page);
  assert.equal((await api.call('GET', '/auth/me', undefined, access)).status, 200);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal((await api.call('GET', '/auth/me', undefined, access)).status, 401);
  assert.equal((await api.call('POST', '/auth/refresh', { refresh_token: refresh })).status, 401);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

consoleTest('two tabs with one session never use a refresh token twice', { expected: [/^401: GET \/api\//] }, async (visitor) => {
  const { page, context } = visitor;
  await enter(visitor, await api.newUser(), '#/credits');
  const second = await context.newPage();
  await second.goto(`${api.url}/console/#/credits`); // no sign-in: the other tab gives its session
  await settled(second, 'Credits');
  assert.deepEqual(await tokens(second), await tokens(page));

  const before = await tokens(page);
  for (const one of [page, second]) await spoil(one);
  await Promise.all([page, second].map((one) => one.getByRole('button', { name: 'Refresh' }).click()));
  await until('both have the same new tokens', async () => {
    const [one, other] = await Promise.all([page, second].map(tokens));
    return one.refresh !== before.refresh && one.access === other.access && one.refresh === other.refresh;
  });
  for (const one of [second, page, second]) {
    await one.reload();
    await settled(one, 'Credits');
    assert.equal(await card(one, 'Balance'), '$10');
  }
  await page.getByRole('button', { name: 'Sign out' }).click();
  await second.getByRole('button', { name: 'Sign in' }).waitFor(); // and they end together
});

consoleTest('two people in two tabs stay two people', async (visitor) => {
  const { page, context } = visitor;
  const [ann, bob] = [await api.newUser({ credit: '3' }), await api.newUser({ credit: '4' })];
  await enter(visitor, ann, '#/credits');
  const second = await context.newPage();
  await second.goto(`${api.url}/console/`);
  await second.getByRole('button', { name: 'Sign out' }).waitFor();
  await second.evaluate(
    async (who) => {
      const body = await (
        await fetch('/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(who) })
      ).json();
      (await import('/console/session.js')).begin(body);
    },
    { email: bob.email, password: bob.password },
  );
  await go(second, '#/credits');
  assert.equal(await card(second, 'Balance'), usd('4'));
  await page.reload(); // asks the other tab, which has had this session, too
  await settled(page, 'Credits');
  assert.equal(await card(page, 'Balance'), usd('3'));
  await second.reload();
  await settled(second, 'Credits');
  assert.equal(await card(second, 'Balance'), usd('4'));
});

consoleTest('a new password, and the words of the API for a wrong one', { expected: [/^401: POST \/auth\/password$/] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await enter(visitor, bob, '#/account');
  const change = async (current, next) => {
    await page.getByLabel('Current password').fill(current);
    await page.getByLabel('New password').fill(next);
    await page.getByRole('button', { name: 'Change password' }).click();
  };
  await change('not his password', 'another password');
  await page.getByText('Incorrect current password.').waitFor();
  await change(bob.password, 'another password');
  await page.getByText('The password was changed.').waitFor();
  assert.equal((await api.call('POST', '/auth/login', { email: bob.email, password: 'another password' })).status, 200);
  await page.reload();
  await settled(page, 'Account'); // this session goes on
});

test('a router that is gone, and comes back', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'console-test-'));
  const settings = { DB_PATH: path.join(folder, 'app.db'), SPOOL_DIR: path.join(folder, 'spool') };
  let router = await startRouter(settings);
  try {
    const problems = await visit({ api: router.api, expected: [/^failed: .*ERR_CONNECTION_REFUSED/] }, async (visitor) => {
      const { page } = visitor;
      await enter(visitor, await router.api.register());
      await router.stop();
      await page.getByRole('link', { name: 'Credits', exact: true }).click();
      await page.getByText('The router cannot be reached.').waitFor();
      await page.getByText('This could not be loaded').waitFor();
      await page.reload().catch(() => {}); // not even the console itself: the browser says so
      router = await startRouter({ ...settings, PORT: new URL(router.url).port });
      await page.goto(`${router.url}/console/#/keys`);
      await settled(page, 'Keys'); // the session has outlived the router
      await router.stop();
      await page.getByRole('link', { name: 'Credits', exact: true }).click();
      await page.getByRole('button', { name: 'Try again' }).waitFor();
      router = await startRouter({ ...settings, PORT: new URL(router.url).port });
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.locator('.card').first().waitFor();
      assert.match(await card(page, 'Balance'), /^\$\d/);
    });
    assert.deepEqual(problems, []);
  } finally {
    await router.stop().catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  }
});
