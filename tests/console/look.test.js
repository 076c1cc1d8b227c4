// Every page: for who cannot see or point, in light and dark, on a telephone, in both languages, with an error instead of data.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { ADMIN, api, checkAccessibility, consoleTest } from './lib.js';
import { enter, fits, go, settled } from './pages.js';

const OWN = ['#/', '#/keys', '#/usage', '#/requests', '#/credits', '#/account'];
const ALL = ['users', 'usage', 'requests', 'providers', 'models', 'prices', 'plans', 'codes', 'ledger', 'holds', 'alerts', 'security', 'audit', 'system'].map(
  (x) => `#/admin/${x}`,
);
const DIALOGS = [
  ['#/keys', 'Create key'],
  ['#/admin/users', 'Create user'],
  ['#/admin/providers', 'Add provider'],
  ['#/admin/models', 'Add model'],
  ['#/admin/prices', 'Set a price'],
  ['#/admin/plans', 'Create plan'],
  ['#/admin/codes', 'Create codes'],
];

/** Something to be seen on every page; gives the addresses of all of them. */
async function furnish() {
  const admin = await api.login();
  await api.chat((await api.newKey(admin, { name: 'a key' })).key);
  const [call] = await api.billed(admin, 1);
  await api.call(
    'POST',
    '/api/admin/providers',
    { name: 'furniture', kind: 'openai', base_url: 'http://127.0.0.1:1/v1', internal: true, api_keys: ['sk-12345678'] },
    admin,
  );
  await api.call(
    'POST',
    '/api/admin/models',
    { name: 'furniture', aliases: ['chair'], routes: [{ provider: 'furniture', model: 'x' }], price: { input: '1', output: '2' } },
    admin,
  );
  await api.ok('POST', '/api/admin/codes', { amount_usd: '1' }, admin);
  return [...OWN, `#/requests/${call.request_id}`, ...ALL, `#/admin/users/${call.user_id}`, `#/admin/requests/${call.request_id}`];
}

for (const colorScheme of ['light', 'dark'])
  consoleTest(`axe finds nothing on any page or dialog (${colorScheme})`, { colorScheme }, async (visitor) => {
    const { page, open } = visitor;
    const pages = await furnish();
    await open('#/register');
    await page.getByRole('heading', { name: 'Create an account' }).waitFor();
    await checkAccessibility(page);
    await enter(visitor, ADMIN, '#/sign-in');
    for (const at of pages) {
      await go(page, at);
      await checkAccessibility(page);
    }
    for (const [at, button] of DIALOGS) {
      await go(page, at);
      await page.getByRole('button', { name: button }).click();
      await page.getByRole('dialog').waitFor();
      await page.evaluate(() =>
        document.querySelectorAll('dialog details').forEach((d) => {
          d.open = true;
        }),
      );
      await checkAccessibility(page);
      await page.keyboard.press('Escape');
    }
  });

consoleTest(
  'a telephone of 360 points: no page is wider, the navigation folds',
  { viewport: { width: 360, height: 740 } },
  async (visitor) => {
    const { page } = visitor;
    const pages = await furnish();
    await enter(visitor, ADMIN);
    for (const at of pages) {
      await go(page, at);
      await fits(page);
    }
    for (const [at, button] of DIALOGS) {
      await go(page, at);
      await page.getByRole('button', { name: button }).click();
      await fits(page);
      assert.ok(await page.getByRole('dialog').evaluate((d) => d.scrollWidth <= d.clientWidth), at);
      await page.keyboard.press('Escape');
    }
    const link = page.getByRole('link', { name: 'Credits', exact: true });
    assert.equal(await link.isVisible(), false);
    await page.getByRole('button', { name: 'Menu' }).click();
    await link.click();
    await settled(page, 'Credits');
    assert.equal(await link.isVisible(), false);
  },
);

consoleTest('by keyboard alone: from signing in to a key', async (visitor) => {
  const { page, open } = visitor;
  const bob = await api.newUser();
  await open();
  await page.locator('input:focus').waitFor();
  await page.keyboard.type(bob.email);
  await page.keyboard.press('Tab');
  await page.keyboard.type(bob.password);
  await page.keyboard.press('Enter');
  await settled(page, 'Overview');
  const reach = async (name) => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      if ((await page.evaluate(() => document.activeElement.textContent)) === name) return;
    }
    assert.fail(`no way to ${name}`);
  };
  await page.locator('body').press('Tab');
  await page.evaluate(() => document.activeElement.blur());
  await reach('Keys');
  await page.keyboard.press('Enter');
  await settled(page, 'Keys');
  await reach('Create key');
  await page.keyboard.press('Enter');
  await page.locator('dialog input:focus').waitFor();
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByLabel('Secret').waitFor();
});

consoleTest('Chinese where the browser speaks it, and the choice is kept', { locale: 'zh-CN' }, async ({ page, open }) => {
  await open();
  await page.getByRole('heading', { name: '登录' }).waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN');
  await page.getByLabel('邮箱').fill(ADMIN.email);
  await page.getByLabel('密码').fill(ADMIN.password);
  await page.getByRole('button', { name: '登录' }).click();
  await settled(page, '概览');
  for (const at of [...OWN, ...ALL]) {
    await go(page, at);
    assert.match(await page.locator('h1').textContent(), /^[\u4e00-\u9fff]+$/u, at);
  }
  await page.getByLabel('语言').selectOption('en');
  await settled(page, 'System');
  await page.reload();
  await settled(page, 'System');
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
});

consoleTest('every text is in both languages, and every text that a page asks for is there', async ({ page, open }) => {
  await open();
  const { en, zh } = await page.evaluate(async () => ({
    en: (await import('/console/strings_en.js')).en,
    zh: (await import('/console/strings_zh.js')).zh,
  }));
  assert.deepEqual(Object.keys(zh), Object.keys(en));
  const holes = (text) => (text.match(/\{\w+\}/g) ?? []).sort().join();
  for (const key of Object.keys(en)) {
    assert.ok(en[key] && zh[key], key);
    assert.equal(holes(zh[key]), holes(en[key]), key);
  }
  const folder = new URL('../../console/', import.meta.url);
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.js') && !name.startsWith('strings'));
  const source = (await Promise.all(files.map((name) => readFile(new URL(name, folder), 'utf8')))).join('\n');
  const asked = new Set([...source.matchAll(/\bt\('([^']+)'/g)].map((m) => m[1]));
  for (const key of asked) assert.ok(en[key], `no text: ${key}`);
  const made = [...source.matchAll(/\bt\(`([a-z]+\.)\$/g), ...source.matchAll(/\bword\('([a-z]+)'/g)].map(
    (m) => `${m[1].replace(/\.$/, '')}.`,
  );
  for (const key of Object.keys(en))
    assert.ok(source.includes(`'${key}'`) || made.some((prefix) => key.startsWith(prefix)), `no page says: ${key}`);
});

test('no page makes markup of a text, or has a script or style within', async () => {
  const folder = new URL('../../console/', import.meta.url);
  for (const name of await readdir(folder, { recursive: true })) {
    if (!/\.(js|html)$/.test(name)) continue;
    const text = await readFile(new URL(name, folder), 'utf8');
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|parseFloat|\beval\(| style=| on[a-z]+="/, name);
  }
});

consoleTest('an error says what failed, and trying again helps', { expected: [/^failed: GET \/api\//] }, async (visitor) => {
  const { page } = visitor;
  await enter(visitor, ADMIN);
  for (const at of [...OWN.filter((x) => x !== '#/account' && x !== '#/'), ...ALL]) {
    await page.route('**/api/**', (route) => route.abort('connectionrefused'));
    await go(page, at);
    await page.getByRole('alert').getByText('The router cannot be reached.').waitFor();
    await page.unroute('**/api/**');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('alert').waitFor({ state: 'detached' });
    await settled(page);
  }
});
