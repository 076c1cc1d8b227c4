// The browser: Debian's Chromium, driven by playwright-core. A test gets a page that forgives nothing: an error on the console, an exception,
// a breach of the Content-Security-Policy, a failed request or one to another host makes it fail, unless the test has said that it expects it.
//
//   consoleTest('what must hold', async ({ page, open, api }) => {
//     await open('#/keys');
//     await page.getByRole('heading', { name: 'Keys' }).waitFor();
//   });
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { Api } from './router.js';

export { ADMIN, Api, startRouter, until } from './router.js';

const modules = process.env.CONSOLE_MODULES || new URL('../../build/compat/console/', import.meta.url);
const require = createRequire(new URL('package.json', modules));
const { chromium } = require('playwright-core');
const axe = require('axe-core');

const WAIT_MS = 10000; // for what a page is to show: it is there within a tenth of it, or never

/** The router that the tests share. */
export const api = new Api(process.env.ROUTER_URL);

let browser;

async function newContext(options) {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    chromiumSandbox: false, // which root and most containers cannot have; the pages are our own
    args: ['--disable-dev-shm-usage'], // a container's /dev/shm is small
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  return context;
}

after(() => browser?.close());

/** Writes down what goes wrong in a page, a line each. */
function watch(page, origin, problems) {
  const of = (request) => `${request.method()} ${request.url().replace(origin, '')}`;
  page.on('console', (message) => {
    // Chromium repeats answers of 4xx and 5xx here, without saying of which request.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.stack || error}`));
  page.on('crash', () => problems.push('the page crashed'));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`) && !/^(data|blob):/.test(request.url())) problems.push(`elsewhere: ${of(request)}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    if (why !== 'net::ERR_ABORTED') problems.push(`failed: ${of(request)}: ${why}`); // aborted: by the page itself, or since it was left
  });
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push(`${response.status()}: ${of(response.request())}`);
  });
}

/**
 * Gives fn a page, and what went wrong in it without being expected, a line each. options: `expected`, a list of RegExp ("401: POST
 * /auth/login", "console: …", "exception: …", "failed: GET …", "elsewhere: …", "csp: …"); `api`, of another router; everything else is
 * Playwright's for a context (viewport, colorScheme, locale …). fn gets {page, context, open, api, expect}: open('#/keys') loads the console
 * there and gives the answer to the page itself; expect(RegExp) expects something further.
 */
export async function visit({ expected = [], api: its = api, ...options }, fn) {
  const allowed = [...expected];
  const problems = [];
  const context = await newContext(options);
  try {
    await context.exposeBinding('reportBreach', (_, text) => problems.push(`csp: ${text}`));
    await context.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (e) =>
        window.reportBreach(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile ?? ''}:${e.lineNumber}`)
      )
    );
    context.on('page', (page) => watch(page, its.url, problems));
    const page = await context.newPage();
    const open = (at = '') => page.goto(`${its.url}/console/${at}`);
    await fn({ page, context, open, api: its, expect: (pattern) => allowed.push(pattern) });
    await page.evaluate(() => new Promise((done) => setTimeout(done))).catch(() => {}); // what a page says last arrives first
  } finally {
    await context.close();
  }
  return problems.filter((text) => !allowed.some((pattern) => pattern.test(text)));
}

/** A test with a page in which nothing goes wrong. options and fn: see visit(). */
export function consoleTest(name, options, fn) {
  test(name, async () => {
    const problems = await visit(fn ? options : {}, fn ?? options);
    assert.deepEqual(problems, []);
  });
}

/** Fails on every violation that axe-core finds in the page as it is now. Evaluated, not loaded: the page's policy allows no other script. */
export async function checkAccessibility(page, options = {}) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate((o) => window.axe.run(document, o), options);
  const found = violations.flatMap((v) => v.nodes.map((n) => `${v.id} (${v.impact}): ${v.help}: ${n.html} ${n.failureSummary ?? ''}`));
  assert.deepEqual(found, [], found.join('\n'));
}
