// What an administrator does, and that nobody else sees it.
import assert from 'node:assert/strict';
import { api, ADMIN, consoleTest, until } from './lib.js';
import { card, enter, go, row, settled, usd } from './pages.js';

const dialog = (page) => page.getByRole('dialog');
let serial = 0;

/** A name that no other test has. */
function fresh(what) {
  serial += 1;
  return `${what}-${process.pid}-${serial}`;
}

consoleTest('who is no administrator sees nothing of the administration', async (visitor) => {
  const { page } = visitor;
  const asked = [];
  page.on('request', (request) => request.url().includes('/api/admin/') && asked.push(request.url()));
  await enter(visitor, await api.newUser());
  assert.equal(await page.locator('nav a[href^="#/admin"]').count(), 0);
  for (const at of ['#/admin/users', '#/admin/providers', '#/admin/requests/req_1', '#/nowhere']) {
    await go(page, at);
    await page.getByRole('heading', { name: 'Not found' }).waitFor();
  }
  assert.deepEqual(asked, []);
});

consoleTest('a user: made, found, given credit, changed, locked out', { expected: [/^400: POST \/api\/admin\/users/] }, async (visitor) => {
  const { page } = visitor;
  const email = `${fresh('ann')}@example.com`,
    password = 'a first password';
  await enter(visitor, ADMIN, '#/admin/users');
  await page.getByRole('button', { name: 'Create user' }).click();
  await dialog(page).getByLabel('E-mail').fill(email);
  await dialog(page).getByLabel('First password').fill(password);
  await dialog(page).getByLabel('Plan').selectOption('pro');
  await dialog(page).getByRole('button', { name: 'Create user' }).click();
  await settled(page, email);
  const ann = { email, password, token: await api.login({ email, password }) };
  const before = (await api.ok('GET', '/api/credits', undefined, ann.token)).balance_usd;

  await page.getByRole('button', { name: 'Grant credit' }).click();
  await dialog(page).getByLabel('Amount in USD').fill('a lot');
  await dialog(page).getByRole('button', { name: 'Grant credit' }).click();
  await dialog(page).locator('[name=amount_usd][aria-invalid]').waitFor();
  await dialog(page).getByLabel('Amount in USD').fill('987654321.123456789'); // more digits than a floating-point number has
  await dialog(page).getByLabel('Note').fill('for the <b>test</b>');
  await dialog(page).getByRole('button', { name: 'Grant credit' }).click();
  await page.getByText('$987,654,321.123456789 granted.').waitFor();
  const { balance_usd } = await api.ok('GET', '/api/credits', undefined, ann.token);
  assert.notEqual(balance_usd, before);
  assert.equal(await row(page, 'for the <b>test</b>').locator('td').nth(5).textContent(), usd(balance_usd));
  await page.locator('.facts').getByText(usd(balance_usd), { exact: true }).waitFor();

  await page.getByRole('button', { name: 'Edit', exact: true }).click();
  await dialog(page).getByLabel('Plan').selectOption('free');
  await dialog(page).getByLabel('Status').selectOption('disabled');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await page.locator('.facts').getByText('Disabled').waitFor();
  assert.ok((await api.call('POST', '/auth/login', { email, password })).status >= 400);
  const [user] = (await api.ok('GET', `/api/admin/users?email=${email}`, undefined, await api.login())).data;
  assert.deepEqual([user.plan, user.status, user.role], ['free', 'disabled', 'user']);

  await go(page, '#/admin/users');
  await page.getByLabel('E-mail address').fill(email);
  await page.getByRole('button', { name: 'Apply' }).click();
  await until('one user', async () => (await page.locator('tbody tr').count()) === 1);
  assert.match(await row(page, email).textContent(), /Disabled/);
});

consoleTest('a grant whose answer is lost is given once', { expected: [/^failed: POST \/api\/admin\/users/] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await enter(visitor, ADMIN, `#/admin/users/${bob.user.id}`);
  await page.route('**/credits', async (route) => {
    await route.fetch(); // the router has it
    await route.abort('connectionreset'); // and the answer does not come through
    await page.unroute('**/credits');
  });
  await page.getByRole('button', { name: 'Grant credit' }).click();
  await dialog(page).getByLabel('Amount in USD').fill('7');
  await dialog(page).getByRole('button', { name: 'Grant credit' }).click();
  await dialog(page).getByText('The router cannot be reached.').waitFor();
  await dialog(page).getByRole('button', { name: 'Grant credit' }).click();
  await page.getByText('$7 granted. The balance is $17.').waitFor();
  assert.equal((await api.ok('GET', '/api/credits', undefined, bob.token)).balance_usd, '17');
});

consoleTest('a password set by the administrator', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await enter(visitor, ADMIN, `#/admin/users/${bob.user.id}`);
  await page.getByRole('button', { name: 'Set password' }).click();
  await dialog(page).getByLabel('New password').fill('what bob gets now');
  await dialog(page).getByRole('button', { name: 'Set password' }).click();
  await page.getByText('The password was set.').waitFor();
  await api.login({ email: bob.email, password: 'what bob gets now' });
  assert.equal((await api.call('GET', '/auth/me', undefined, bob.token)).status, 401);
});

consoleTest("everybody's usage and calls", async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await api.chat((await api.newKey(bob.token)).key);
  const [call] = await api.billed(bob.token, 1);
  await enter(visitor, ADMIN, '#/admin/usage');
  await row(page, bob.email).getByText(usd(call.cost_usd), { exact: true }).first().waitFor();
  await go(page, `#/admin/requests?user=${bob.user.id}`);
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.locator('tbody a').first().click();
  await settled(page, 'Request');
  await page.getByText(call.request_id, { exact: true }).waitFor();
  await go(page, `#/admin/ledger?user=${bob.user.id}`);
  await row(page, call.request_id).first().waitFor();
  assert.ok(
    await row(page, call.request_id)
      .getByText(usd(`-${call.cost_usd}`), { exact: true })
      .count(),
  );
});

consoleTest(
  'a provider that cannot be reached, a model on it, both removed',
  { expected: [/^400: POST \/api\/admin\/(providers|models)/, /^409: DELETE \/api\/admin\/providers/] },
  async (visitor) => {
    const { page } = visitor;
    const name = fresh('dead'),
      model = fresh('team/chat');
    await enter(visitor, ADMIN, '#/admin/providers');
    await page.getByRole('button', { name: 'Add provider' }).click();
    await dialog(page).getByLabel('Name').fill(name);
    await dialog(page).getByLabel('Base URL').fill('nonsense');
    await dialog(page).getByRole('button', { name: 'Add provider' }).click();
    await dialog(page).locator('[name=base_url][aria-invalid]').waitFor();
    await dialog(page).getByLabel('Base URL').fill('http://127.0.0.1:1/v1');
    await dialog(page).getByLabel('API keys').fill('sk-secret-of-the-provider-wxyz');
    await dialog(page).getByLabel('Private addresses are allowed').check();
    await dialog(page).getByRole('button', { name: 'Add provider' }).click();
    await row(page, name).waitFor();
    assert.match(await row(page, name).textContent(), /…wxyz/);
    assert.ok(!(await page.content()).includes('sk-secret'));

    await page.getByRole('button', { name: `Test ${name}` }).click();
    await dialog(page).getByRole('button', { name: 'Test' }).click();
    await dialog(page).getByText('Fails').waitFor();
    await dialog(page).getByText('The provider could not be reached').waitFor();
    await dialog(page).getByRole('button', { name: 'Close' }).click();

    await page.getByRole('button', { name: `Edit ${name}` }).click();
    await dialog(page).getByLabel('No calls go there').check();
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await row(page, name).getByText('Off', { exact: true }).waitFor();
    const admin = await api.login();
    const kept = await api.ok('GET', `/api/admin/providers/${name}`, undefined, admin);
    assert.deepEqual([kept.disabled, kept.internal, kept.keys.length], [true, true, 1]); // what was not changed stays, the keys too

    await go(page, '#/admin/models');
    await page.getByRole('button', { name: 'Add model' }).click();
    await dialog(page).getByLabel('Name').fill(model);
    await dialog(page).getByLabel('Provider').fill('nobody');
    await dialog(page).getByLabel('Model there').fill('llama3');
    await dialog(page).getByLabel('Input', { exact: true }).fill('0.15');
    await dialog(page).getByLabel('Output', { exact: true }).fill('0.60');
    await dialog(page).getByRole('button', { name: 'Add model' }).click();
    await dialog(page).getByText('there is no provider of that name').waitFor();
    await dialog(page).getByLabel('Provider').fill(name);
    await dialog(page).getByLabel('Tier', { exact: true }).fill('2');
    await dialog(page).getByRole('button', { name: 'Add a line' }).click();
    await dialog(page).getByLabel('Provider').nth(1).fill('echo');
    await dialog(page).getByLabel('Model there').nth(1).fill('echo');
    await dialog(page).getByRole('button', { name: 'Add model' }).click();
    await row(page, model).waitFor();
    const of = () => api.ok('GET', `/api/admin/models/${encodeURIComponent(model)}`, undefined, admin);
    let made = await of();
    assert.deepEqual(
      made.routes.map((r) => [r.provider, r.model, r.tier, r.weight]),
      [
        [name, 'llama3', 2, 1],
        ['echo', 'echo', 1, 1],
      ],
    );
    assert.deepEqual([made.own_price, made.price.input, made.price.output], [true, '0.15', '0.6']);

    await page.getByRole('button', { name: `Edit ${model}` }).click();
    await dialog(page).getByLabel('Aliases').fill('x-alias\ny-alias');
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await row(page, 'x-alias').waitFor();
    made = await of();
    assert.deepEqual([made.aliases, made.routes.length, made.price.input], [['x-alias', 'y-alias'], 2, '0.15']);

    const remove = async (what) => {
      await page.getByRole('button', { name: `Delete ${what}` }).click();
      await dialog(page).getByRole('button', { name: 'Delete' }).click();
    };
    await go(page, '#/admin/providers');
    await remove(name);
    await dialog(page).locator('.bad:visible').waitFor(); // a model has a route to it: the API's words
    await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    await go(page, '#/admin/models');
    await remove(model);
    await row(page, model).waitFor({ state: 'detached' });
    await go(page, '#/admin/providers');
    await remove(name);
    await row(page, name).waitFor({ state: 'detached' });
  },
);

consoleTest('the built-in provider works, and says so', async (visitor) => {
  const { page } = visitor;
  const name = fresh('echo');
  await api.ok('POST', '/api/admin/providers', { name, kind: 'echo' }, await api.login());
  await enter(visitor, ADMIN, '#/admin/providers');
  await page.getByRole('button', { name: `Test ${name}` }).click();
  await dialog(page).getByRole('button', { name: 'Test' }).click();
  await dialog(page).getByText('Works').waitFor();
});

consoleTest('a price: a new version is in force, and billed', { expected: [/^400: POST \/api\/admin\/prices/] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser(),
    model = fresh('priced');
  const admin = await api.login();
  await api.ok(
    'POST',
    '/api/admin/models',
    { name: model, routes: [{ provider: 'echo', model: 'echo' }], price: { input: '1', output: '2' } },
    admin,
  );
  await enter(visitor, ADMIN, `#/admin/prices?model=${model}`);
  await page.getByRole('button', { name: `New price ${model}` }).click();
  await dialog(page).getByLabel('Input', { exact: true }).fill('1000');
  await dialog(page).getByLabel('Output', { exact: true }).fill('dear');
  await dialog(page).getByRole('button', { name: 'Set a price' }).click();
  await dialog(page).locator('[name=output][aria-invalid]').waitFor();
  await dialog(page).getByLabel('Output', { exact: true }).fill('2000');
  await dialog(page).getByRole('button', { name: 'Set a price' }).click();
  await until('two versions', async () => (await page.locator('tbody tr').count()) === 2);
  assert.match(await page.locator('tbody tr').first().textContent(), /\$1,000.*\$2,000.*In force/);
  const { key } = await api.newKey(bob.token);
  await api.chat(key, 'hello', { model });
  const [call] = await api.billed(bob.token, 1);
  assert.equal(Number(call.cost_usd), (call.prompt_tokens * 1000 + call.completion_tokens * 2000) / 1e6);
});

consoleTest('a plan is made and changed', async (visitor) => {
  const { page } = visitor;
  const name = fresh('plan');
  const of = async () => (await api.ok('GET', '/api/admin/plans', undefined, await api.login())).data.find((p) => p.name === name);
  await enter(visitor, ADMIN, '#/admin/plans');
  await page.getByRole('button', { name: 'Create plan' }).click();
  await dialog(page).getByLabel('Name').fill(name);
  await dialog(page).getByLabel('Requests per minute').fill('77');
  await dialog(page).getByLabel('Monthly credit in USD').fill('1.5');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await row(page, name).waitFor();
  assert.deepEqual([(await of()).rpm, (await of()).monthly_credit_usd], [77, '1.5']);
  await page.getByRole('button', { name: `Edit ${name}` }).click();
  await dialog(page).getByLabel('Requests per minute').fill('');
  await dialog(page).getByLabel('Models').fill('echo*');
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await row(page, 'echo*').waitFor();
  const now = await of();
  assert.deepEqual([now.rpm, now.monthly_credit_usd, now.models], [0, '1.5', ['echo*']]);
});

consoleTest('codes: shown once, one is redeemed, one revoked', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser({ credit: '1' });
  const note = fresh('note');
  await enter(visitor, ADMIN, '#/admin/codes');
  await page.getByRole('button', { name: 'Create codes' }).click();
  await dialog(page).getByLabel('Worth in USD').fill('3');
  await dialog(page).getByLabel('How many').fill('2');
  await dialog(page).getByLabel('Note').fill(note);
  await dialog(page).getByRole('button', { name: 'Create codes' }).click();
  const codes = (await dialog(page).getByLabel('Codes').inputValue()).split('\n');
  assert.equal(codes.length, 2);
  await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
  await row(page, note).first().waitFor();
  assert.ok(!(await page.content()).includes(codes[0]));
  await api.ok('POST', '/api/credits/redeem', { code: codes[0] }, bob.token);
  await page.getByRole('button', { name: `Revoke ${codes[1].slice(0, 9)}` }).click();
  await dialog(page).getByRole('button', { name: 'Revoke' }).click();
  await row(page, note).getByText('Revoked').waitFor();
  await row(page, note).getByText('Redeemed').waitFor();
  assert.equal((await api.call('POST', '/api/credits/redeem', { code: codes[1] }, bob.token)).status, 409);
});

consoleTest('the audit names what was done, the ledger agrees, a backup is written', async (visitor) => {
  const { page } = visitor;
  const name = fresh('audited');
  const admin = await api.login();
  await api.ok('PATCH', '/api/admin/plans', { name, rpm: 5 }, admin);
  await enter(visitor, ADMIN, '#/admin/audit');
  await row(page, name)
    .getByText(/^plan\./)
    .waitFor();
  await go(page, '#/admin/system');
  for (const service of ['gateway', 'authsvc', 'providersvc', 'meterd'])
    await page.getByRole('heading', { level: 2, name: service }).waitFor();
  await page.getByText('All services are well').waitFor();
  await page.getByRole('button', { name: 'Verify' }).click();
  await page.getByText('No difference found').waitFor();
  await page.getByRole('button', { name: 'Back up' }).click();
  await dialog(page).getByLabel('File name').fill(`${name}.db`);
  await dialog(page).getByRole('button', { name: 'Back up' }).click();
  await page.getByText(new RegExp(`${name}\\.db: .*B, in `)).waitFor();
});

consoleTest('keys that are guessed are seen, and somebody looks after them', async (visitor) => {
  const { page } = visitor;
  const admin = await api.login();
  for (let i = 0; i < 12; i++) await api.chat(`sk-or-guess-${i}`, 'let me in').catch(() => {});
  await until('an alert', async () => (await api.ok('GET', '/api/admin/alerts?state=firing', undefined, admin)).data[0]);
  await enter(visitor, ADMIN, '#/admin/alerts');
  const alert = row(page, 'key_guessing');
  await alert.getByText('Warning').waitFor();
  await alert.getByRole('button', { name: 'Acknowledge' }).click();
  await dialog(page).getByRole('button', { name: 'Acknowledge' }).click();
  await alert.getByText(/^usr_/).waitFor();
  const [said] = (await api.ok('GET', '/api/admin/alerts?rule=key_guessing', undefined, admin)).data;
  assert.ok(said.acknowledged_at > 0);
  await go(page, '#/admin/security');
  await row(page, 'Keys guessed').getByText('127.0.0.1').waitFor();
  await page.getByLabel('What').selectOption('Session copied');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByText('Nothing was seen.').waitFor();
});

consoleTest("a call that runs: its hold is listed, and in the user's figures", async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const { key } = await api.newKey(bob.token);
  const running = api.chat(key, 'word '.repeat(60), { model: 'echo-slow' });
  const hold = await until('a hold', async () =>
    (await api.ok('GET', '/api/admin/system/holds', undefined, await api.login())).data.find((x) => x.user_id === bob.user.id),
  );
  await enter(visitor, ADMIN, '#/admin/holds');
  const seen = await row(page, hold.request_id).count();
  await running;
  assert.equal(seen, 1);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await row(page, hold.request_id).waitFor({ state: 'detached' });
  assert.ok(await card(page, 'Held'));
});
