// The console's shell: how it is served, and what every page of it has.
import assert from 'node:assert/strict';
import { createServer, request as forward } from 'node:http';
import { test } from 'node:test';
import { api, checkAccessibility, consoleTest, visit } from './lib.js';

consoleTest('a browser that opens the router gets to the console', async ({ page, api: { url } }) => {
  const answer = await page.goto(`${url}/`);
  assert.equal(answer.status(), 200);
  assert.equal(page.url(), `${url}/console/`);
  await page.locator('main').waitFor();
});

consoleTest('so does who leaves out the last slash', async ({ page, api: { url } }) => {
  await page.goto(`${url}/console#/keys`);
  assert.equal(page.url(), `${url}/console/#/keys`);
});

consoleTest('it has a language, a title and fits a telephone', async ({ page, open }) => {
  await open();
  assert.match(await page.locator('html').getAttribute('lang'), /^[a-z]{2}/);
  assert.match(await page.title(), /OpenAI Router/);
  assert.match(await page.locator('meta[name=viewport]').getAttribute('content'), /width=device-width/);
  await page.locator('main').waitFor();
});

consoleTest('its policy stands, and holds: no script but its own runs', { expected: [/^csp: script-src-elem inline/, /^console: .*Content Security Policy/] }, async ({ page, open }) => {
  const answer = await open();
  assert.match(answer.headers()['content-security-policy'], /^default-src 'none'; script-src 'self'; /);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.ran = true';
    document.head.append(script);
  });
  assert.equal(await page.evaluate(() => window.ran), undefined);
});

consoleTest('what has not changed is not sent again', async ({ page, open }) => {
  const seen = [];
  page.on('response', (response) => seen.push(response));
  await open();
  await page.waitForLoadState('networkidle');
  const first = seen.splice(0).filter((r) => r.url().includes('/console/'));
  assert.ok(first.length >= 3, 'the page, its style and its script');
  for (const response of first) {
    const headers = await response.allHeaders();
    assert.equal(headers['cache-control'], 'no-cache');
    const again = await api.call('GET', new URL(response.url()).pathname, undefined, undefined, {
      'if-none-match': headers.etag,
      'accept-encoding': 'gzip',
    });
    assert.equal(again.status, 304, response.url());
    assert.equal(again.body, '');
  }
});

test('everything comes from the router, below whatever path a proxy has put it at', async () => {
  const asked = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url);
    const to = new URL(api.url + request.url.replace(/^\/router\//, '/'));
    request.pipe(
      forward(to, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      })
    );
  });
  await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${proxy.address().port}`;
  const problems = await visit({ api: { url: base } }, async ({ page }) => {
    await page.goto(`${base}/router/`);
    assert.equal(page.url().replace(/#.*/, ''), `${base}/router/console/`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
  });
  proxy.closeAllConnections();
  proxy.close();
  assert.deepEqual(problems, []);
  assert.deepEqual(asked.filter((at) => !at.startsWith('/router/')), []);
  assert.ok(asked.length > 3);
});

for (const colorScheme of ['light', 'dark'])
  consoleTest(`whoever cannot see or point can use it: axe finds nothing (${colorScheme})`, { colorScheme }, async ({ page, open }) => {
    await open();
    await page.getByRole('heading', { level: 1 }).waitFor();
    await checkAccessibility(page);
  });

test('programs get plain text at /', async () => {
  const answer = await api.call('GET', '/', undefined, undefined, { accept: '*/*' });
  assert.equal(answer.status, 200);
  assert.match(answer.body, /\/v1\/chat\/completions/);
});
