// What a user does: keys, calls, usage, credit. Every figure is compared with the API's own strings.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { api, consoleTest, until } from './lib.js';
import { card, enter, go, row, settled, usd } from './pages.js';

const EVIL = '<img src=x onerror=alert(1)>';

/** The dialog that is open. */
const dialog = (page) => page.getByRole('dialog');

/** Makes a key as a person does and gives the secret that the page shows. */
async function makeKey(page, fill) {
  await page.getByRole('button', { name: 'Create key' }).first().click();
  await fill(dialog(page));
  await dialog(page).getByRole('button', { name: 'Create key' }).click();
  const secret = await dialog(page).getByLabel('Secret').inputValue();
  await page.keyboard.press('Escape'); // what is shown once is not lost by a slip
  await page.keyboard.press('Escape');
  assert.ok(await dialog(page).isVisible());
  await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
  await dialog(page).waitFor({ state: 'detached' });
  return secret;
}

consoleTest('a key, a call with it, the call in every figure, and the key revoked', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  await enter(visitor, bob);
  const secret = await makeKey(page, (form) => form.getByLabel('Name').fill('laptop'));
  await page.locator('#first-steps').waitFor({ state: 'detached' });
  await api.chat(secret, 'a call that is billed');
  const [call] = await api.billed(bob.token, 1);
  const credits = await api.ok('GET', '/api/credits', undefined, bob.token);

  await page.getByRole('button', { name: 'Refresh' }).click();
  await row(page, 'laptop').waitFor();
  assert.equal(await card(page, 'Balance'), usd(credits.balance_usd));
  assert.equal(await card(page, 'Spent'), usd(call.cost_usd));
  assert.equal(await card(page, 'Requests'), '1');

  await go(page, '#/requests');
  await row(page, 'laptop').getByText(usd(call.cost_usd), { exact: true }).waitFor();
  await row(page, 'laptop').getByRole('link').click();
  await settled(page, 'Request');
  await page.getByText(call.request_id, { exact: true }).waitFor();
  assert.equal(await row(page, 'Revenue').getByText(usd(call.cost_usd), { exact: true }).count(), 1 + (await revenueIs(call)));

  await go(page, '#/usage');
  assert.equal(await card(page, 'Cost'), usd(call.cost_usd));
  assert.equal(await card(page, 'Input'), String(call.prompt_tokens));
  assert.equal(await row(page.locator('section').last(), 'echo').locator('td').last().textContent(), usd(call.cost_usd));

  await go(page, '#/credits');
  assert.equal(
    await row(page, call.request_id)
      .getByText(usd(`-${call.cost_usd}`), { exact: true })
      .count(),
    1,
  );
  assert.equal(await row(page, call.request_id).getByText(usd(credits.balance_usd), { exact: true }).count(), 1);

  await go(page, '#/keys');
  await page.getByRole('button', { name: 'Revoke laptop' }).click();
  await dialog(page).getByRole('button', { name: 'Revoke' }).click();
  await row(page, 'laptop').getByText('Revoked').waitFor();
  const refused = await api.call('POST', '/v1/chat/completions', { model: 'echo', messages: [{ role: 'user', content: 'x' }] }, secret);
  assert.equal(refused.status, 401);
});

/** 1 when all that the operator has earned is this one call: then its balance shows the same amount once more. */
async function revenueIs(call) {
  const receipt = await api.ok('GET', `/api/admin/requests/${call.request_id}`, undefined, await api.login());
  return receipt.entries.some((e) => e.account === 'revenue' && e.balance_usd === call.cost_usd) ? 1 : 0;
}

consoleTest('all that a key can have, changed and taken away again', { expected: [/^400: (POST|PATCH) \/api\/keys/] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const only = async () => (await api.ok('GET', '/api/keys', undefined, bob.token)).data[0];
  await enter(visitor, bob, '#/keys');
  await page.getByRole('button', { name: 'Create key' }).click();
  const form = dialog(page);
  await form.getByLabel('Name').fill('ci');
  await form.getByLabel('Budget in USD').fill('much');
  await form.getByRole('button', { name: 'Create key' }).click();
  assert.equal(await form.locator('[aria-invalid]').getAttribute('name'), 'budget_usd'); // the API names the field
  await form.getByLabel('Budget in USD').fill('2.50');
  await form.getByLabel('Budget period').selectOption({ label: 'per month' });
  await form.getByLabel('Models').fill('echo*\ngpt-4o');
  await form.getByLabel('Allowed addresses').fill('127.0.0.1, 192.0.2.0/24');
  await form.getByLabel('Requests per minute').fill('many');
  await form.getByRole('button', { name: 'Create key' }).click();
  await form.locator('[name=rpm][aria-invalid]').waitFor();
  await form.getByLabel('Requests per minute').fill('60');
  await form.getByLabel('Expires').fill('2030-01-02T03:04:05');
  await form.getByRole('button', { name: 'Create key' }).click();
  await form.getByRole('button', { name: 'I have stored it' }).click();
  await row(page, 'ci').waitFor();
  const made = await only();
  assert.deepEqual(
    [made.budget_usd, made.budget_period, made.models, made.ip_allow, made.rpm, made.expires_at],
    ['2.5', 'month', ['echo*', 'gpt-4o'], ['127.0.0.1', '192.0.2.0/24'], 60, Date.UTC(2030, 0, 2, 3, 4, 5) / 1000],
  );
  assert.match(await row(page, 'ci').textContent(), /60 requests\/min.*echo\*.*\$0 \/ \$2\.5per month.*192\.0\.2\.0\/24.*2030-01-02/);

  await page.getByRole('button', { name: 'Edit ci' }).click();
  await form.getByLabel('Name').fill('ci 2');
  for (const name of ['Models', 'Allowed addresses', 'Requests per minute', 'Budget in USD', 'Expires'])
    await form.getByLabel(name).fill('');
  await form.getByRole('button', { name: 'Save' }).click();
  await row(page, 'ci 2').waitFor();
  const now = await only();
  assert.deepEqual([now.name, now.budget_usd, now.models, now.ip_allow, now.rpm, now.expires_at], ['ci 2', '0', [], [], 0, 0]);
});

consoleTest('a rotated key: both secrets work, then the new one alone', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const key = await api.newKey(bob.token, { name: 'server' });
  await enter(visitor, bob, '#/keys');
  const rotate = async (grace) => {
    await page.getByRole('button', { name: 'Rotate server' }).click();
    await dialog(page).getByLabel('Grace time in seconds').fill(grace);
    await dialog(page).getByRole('button', { name: 'Rotate' }).click();
    const secret = await dialog(page).getByLabel('Secret').inputValue();
    await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
    return secret;
  };
  const second = await rotate('3600');
  await row(page, 'server').getByText('Former secret until').waitFor();
  for (const secret of [key.key, second]) await api.chat(secret);
  const third = await rotate('0');
  await api.chat(third);
  assert.equal((await api.call('GET', '/v1/models', undefined, second)).status, 401);
});

consoleTest(
  'the copy button puts the whole secret on the clipboard',
  { permissions: ['clipboard-read', 'clipboard-write'] },
  async (visitor) => {
    const { page } = visitor;
    await enter(visitor, await api.newUser(), '#/keys');
    await page.getByRole('button', { name: 'Create key' }).click();
    await dialog(page).getByLabel('Name').fill('x');
    await dialog(page).getByRole('button', { name: 'Create key' }).click();
    const secret = await dialog(page).getByLabel('Secret').inputValue();
    assert.match(secret, /^sk-or-/);
    await dialog(page).getByRole('button', { name: 'Copy' }).click();
    await page.getByText('Copied.').waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  },
);

consoleTest('a name that is markup is shown as text, everywhere', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  page.on('dialog', () => assert.fail('a script of a name ran'));
  await enter(visitor, bob, '#/keys');
  const secret = await makeKey(page, (form) => form.getByLabel('Name').fill(EVIL));
  await api.chat(secret);
  await api.billed(bob.token, 1);
  await page.getByRole('button', { name: `Edit ${EVIL}` }).click();
  await dialog(page).getByText(`Edit key ${EVIL}`).waitFor();
  await page.keyboard.press('Escape');
  for (const at of ['#/keys', '#/', '#/requests', '#/usage?group=key']) {
    await go(page, at);
    assert.ok(await page.getByText(EVIL).count(), at);
    assert.equal(await page.locator('img').count(), 0, at);
  }
});

consoleTest('usage by model, key and hour; the file has what the table has', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const [one, other] = [await api.newKey(bob.token, { name: 'one' }), await api.newKey(bob.token, { name: '=SUM(A1)' })];
  await api.chat(one.key, 'short');
  await api.chat(one.key, 'a longer one '.repeat(20), { model: 'echo-tools' });
  await api.chat(other.key, 'short');
  await api.billed(bob.token, 3);
  const by = async (group) => (await api.ok('GET', `/api/usage?group_by=${group}`, undefined, bob.token)).data;
  const shown = () =>
    page
      .locator('section')
      .last()
      .locator('tbody tr')
      .evaluateAll((rows) => rows.map((r) => [r.firstChild.textContent, r.lastChild.textContent]));
  const same = async (rows, name) => assert.deepEqual((await shown()).sort(), rows.map((g) => [name(g), usd(g.cost_usd)]).sort());

  await enter(visitor, bob, '#/usage?range=24h');
  await same(await by('model'), (g) => g.model);
  assert.equal(await page.getByRole('img', { name: 'Cost by hour' }).locator('rect').count(), (await by('model,hour')).length);
  await page.getByRole('link', { name: 'Hour', exact: true }).click();
  await settled(page, 'Usage');
  await until('hours', async () => /^\d{4}-/.test((await shown())[0]?.[0]));
  await same(await by('hour'), (g) => g.time.slice(0, 16).replace('T', ' '));
  await page.getByRole('link', { name: 'Key', exact: true }).click();
  await until('keys', async () => (await shown()).some(([name]) => name === 'one'));
  await same(await by('key'), (g) => (g.key_id === one.id ? 'one' : '=SUM(A1)'));

  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click()]);
  const lines = (await readFile(await file.path(), 'utf8')).trim().split('\r\n');
  assert.equal(
    lines[0],
    'key,requests,errors,prompt_tokens,cached_tokens,cache_write_tokens,completion_tokens,reasoning_tokens,latency_ms_avg,cost_usd',
  );
  assert.equal(lines.length, 3);
  for (const g of await by('key')) {
    const line = lines.find((text) => text.startsWith(g.key_id === one.id ? 'one,' : "'=SUM(A1),")); // no formula for a spreadsheet
    assert.ok(line.endsWith(`,${g.cost_usd}`), line);
  }

  await go(page, '#/usage?range=custom&first=2020-01-01&last=2020-01-03');
  await page.locator('section').last().getByText('No calls in this time.').waitFor();
});

consoleTest('the log of calls: filtered, and page after page', async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const [one, other] = [await api.newKey(bob.token, { name: 'one' }), await api.newKey(bob.token, { name: 'other' })];
  for (let i = 0; i < 55; i++) await api.chat(one.key, `call ${i}`);
  await api.chat(other.key, 'the last', { model: 'echo-tools' });
  await api.billed(bob.token, 56);
  const rows = page.locator('tbody tr');
  await enter(visitor, bob, '#/requests');
  assert.equal(await rows.count(), 50);
  await page.getByRole('button', { name: 'More' }).click();
  await until('the second page', async () => (await rows.count()) === 56);
  assert.equal(await page.getByRole('button', { name: 'More' }).isVisible(), false);
  assert.equal(new Set(await page.locator('tbody a').evaluateAll((links) => links.map((a) => a.href))).size, 56);

  await page.getByLabel('Key').selectOption('other');
  await page.getByRole('button', { name: 'Apply' }).click();
  await until('one row', async () => (await rows.count()) === 1);
  await page.reload();
  await settled(page, 'Requests');
  assert.equal(await rows.count(), 1); // the filter is part of the address
  await page.getByRole('link', { name: 'Clear' }).click();
  await until('all again', async () => (await rows.count()) === 50);
  await page.getByLabel('Status').selectOption('error');
  await page.getByRole('button', { name: 'Apply' }).click();
  await page.getByText('No calls.').waitFor();
});

consoleTest('a code is redeemed once', { expected: [/^4\d\d: POST \/api\/credits\/redeem$/] }, async (visitor) => {
  const { page } = visitor;
  const bob = await api.newUser();
  const {
    data: [code],
  } = await api.ok('POST', '/api/admin/codes', { amount_usd: '2.25' }, await api.login());
  await enter(visitor, bob, '#/credits');
  await page.getByLabel('Code').fill('rc-nonsense');
  await page.getByRole('button', { name: 'Redeem' }).click();
  await page.locator('form .bad:visible').waitFor();
  await page.getByLabel('Code').fill(code.code);
  await page.getByRole('button', { name: 'Redeem' }).click();
  await page.getByText('$2.25 added. The balance is $12.25.').waitFor();
  assert.equal(await card(page, 'Balance'), '$12.25');
  await page.getByLabel('Code').fill(code.code);
  await page.getByRole('button', { name: 'Redeem' }).click();
  await page.locator('form .bad:visible').waitFor();
  assert.equal(await card(page, 'Balance'), '$12.25');
});
