// What the tests of the pages share: signing in as a person does, and waiting for what a page shows.
import assert from 'node:assert/strict';

/** Fills and sends the sign-in form of the page that is open. */
export async function submitSignIn(page, { email, password }) {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** The page at an address of the console, when all of it is there. */
export async function settled(page, heading) {
  if (heading) await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
  await page.locator('main:not([aria-busy]) h1').waitFor();
  await page.locator('main .loading').waitFor({ state: 'detached' });
}

/** Opens the console as this user, at an address such as '#/keys'. */
export async function enter({ page, open }, who, at = '#/') {
  await open(at);
  await submitSignIn(page, who);
  await page.locator('.shell').waitFor();
  await settled(page);
}

/** Goes to another page of the console, as a link does. */
export async function go(page, at) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, at);
  await page.waitForFunction((hash) => location.hash === hash, at);
  await page.waitForTimeout(0); // the page's own listener has run
  await settled(page);
}

/** A row of the page's table that has this text in one of its cells. */
export function row(page, text) {
  return page.locator('tbody tr').filter({ hasText: text });
}

/** The figure of a card: "Balance" -> "$10". */
export function card(page, label) {
  return page
    .locator('.card')
    .filter({ has: page.getByRole('heading', { name: label, exact: true }) })
    .locator('.figure')
    .textContent();
}

/** An amount as the console writes it; the digits are the API's. */
export function usd(amount) {
  const [whole, rest] = amount.replace('-', '').split('.');
  const grouped = Number(whole).toLocaleString('en-US');
  return `${amount.startsWith('-') ? '−' : ''}$${grouped}${rest ? `.${rest}` : ''}`;
}

/** Nothing of the page is wider than the window. */
export async function fits(page) {
  const {
    page: wide,
    window: room,
    widest,
  } = await page.evaluate(() => ({
    page: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
    widest: [...document.querySelectorAll('main *')]
      .filter((e) => !e.closest('.scroll, pre') && e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => e.outerHTML.slice(0, 120))[0],
  }));
  assert.ok(wide <= room, `the page is ${wide} wide in ${room}: ${widest}`);
}
