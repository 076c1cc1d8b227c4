// What the tests against tests/fixtures share: fixtures, what came to the upstream, and comparisons. run.py starts it all.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test as one } from 'node:test';

export const env = process.env;
export const raw = (name) => readFileSync(`${env.FIXTURES}/${name}`);
export const load = (name) => JSON.parse(raw(name));
export const ask = (content) => [{ role: 'user', content }];
export const plain = (o) => JSON.parse(JSON.stringify(o));

export const events = (name) =>
  raw(name)
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data:') && line.slice(5).trim() !== '[DONE]')
    .map((line) => JSON.parse(line.slice(5)));

const without = (o, but) => Object.fromEntries(Object.entries(o).filter(([k]) => !but.includes(k)));

export const same = (got, name, ...but) => assert.deepEqual(without(plain(got), but), without(load(name), but));

export function sameEvents(got, name, ...but) {
  assert.deepEqual(
    got.map((e) => without(plain(e), but)),
    events(name).map((e) => without(e, but)),
  );
}

export async function collect(stream) {
  const got = [];
  for await (const e of stream) got.push(e);
  return got;
}

// The requests that the upstream got since the last call, newest last.
export const seen = async () => {
  const s = await (await fetch(env.SEEN_URL)).json();
  faults.push(...s.faults);
  return s.requests;
};
export const last = async () => (await seen()).at(-1);

const faults = [];

export function test(name, body) {
  one(name, async () => {
    await seen();
    faults.length = 0;
    await body();
    await seen();
    assert.deepEqual(faults, []);
  });
}
