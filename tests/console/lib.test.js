// The tests' own eyes: each kind of fault in a page is seen, and only what is expected is passed over.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { api, checkAccessibility, startRouter, until, visit } from './lib.js';


/** What is seen of a page that does this. */
function seen(what, argument, options = {}) {
  return visit(options, async ({ page, open }) => {
    await open();
    await page.evaluate(what, argument);
    await page.waitForLoadState('networkidle');
  });
}

function one(problems, pattern) {
  assert.equal(problems.length, 1, problems.join('\n'));
  assert.match(problems[0], pattern);
}

test('a page that does nothing has no fault', async () => {
  assert.deepEqual(await seen(() => {}), []);
});

test('an error on the console', async () => {
  one(await seen(() => console.error('it broke')), /^console: it broke$/);
});

test('an exception that nobody catches, and a promise', async () => {
  one(await seen(() => void setTimeout(() => { throw new Error('thrown'); })), /^exception: Error: thrown/);
  one(await seen(() => void Promise.reject(new Error('rejected'))), /^exception: Error: rejected/);
});

test('an answer of 4xx, unless it is expected', async () => {
  const ask = () => fetch('/auth/me').then((answer) => answer.text());
  one(await seen(ask), /^401: GET \/auth\/me$/);
  assert.deepEqual(await seen(ask, null, { expected: [/^401: GET \/auth\/me$/] }), []);
});

test('a script that is not its own', async () => {
  const problems = await seen((url) => {
    const script = document.createElement('script');
    script.src = url;
    document.head.append(script);
  }, 'data:text/javascript,1');
  assert.ok(problems.some((text) => /^csp: script-src/.test(text)), problems.join('\n'));
});

test('a request to another host: the policy stops it, and it is seen', async () => {
  let asked = 0;
  const other = createServer((_, response) => { asked += 1; response.end(); });
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  const problems = await seen((url) => fetch(url).catch(() => {}), `http://127.0.0.1:${other.address().port}/`);
  other.close();
  assert.ok(problems.some((text) => /^csp: connect-src/.test(text)), problems.join('\n'));
  assert.equal(asked, 0);
});

test('a picture without words', async () => {
  await visit({}, async ({ page, open }) => {
    await open();
    await page.evaluate(() => {
      const picture = document.createElement('img');
      picture.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=';
      document.body.append(picture);
    });
    await assert.rejects(checkAccessibility(page), /image-alt/);
  });
});

test('a router of its own, and what becomes of a call there', async () => {
  const router = await startRouter({ SIGNUP: 'open' });
  try {
    const ann = await router.api.register('ann@example.com');
    const { key } = await router.api.newKey(ann.token);
    assert.ok((await router.api.chat(key)).choices[0].message.content);
    assert.equal((await router.api.billed(ann.token, 1))[0].status, 'ok');
    assert.equal((await router.api.call('GET', '/api/admin/users', undefined, ann.token)).status, 403);
    assert.deepEqual(await visit({ api: router.api }, ({ open }) => open()), []);
  } finally {
    await router.stop();
  }
  await assert.rejects(fetch(router.url));
});

test('the shared router has users of its own', async () => {
  const bob = await api.newUser({ credit: '3' });
  const { balance_usd } = await api.ok('GET', '/api/credits', undefined, bob.token);
  assert.equal(Number(balance_usd), 3);
  await assert.rejects(until('never', () => false, 50), /not within 50 ms: never/);
});
