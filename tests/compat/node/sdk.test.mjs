// OpenAI's Node SDK through the router, with nothing set but baseURL and apiKey. run.py starts the router.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

const env = process.env;
const model = 'gpt-4o-mini';
const ask = (content) => [{ role: 'user', content }];
const make = (options = {}) => new OpenAI({ baseURL: env.BASE_URL, apiKey: env.API_KEY, maxRetries: 0, ...options });
const client = make();

const tools = [
  { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } },
];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function cancelled() {
  return (await (await fetch(env.UPSTREAM_STATS)).json()).cancelled;
}

async function waitForCancel(before) {
  const end = Date.now() + 10000;
  while ((await cancelled()) <= before) {
    assert.ok(Date.now() < end, 'the upstream was not cancelled');
    await new Promise((done) => setTimeout(done, 10));
  }
}

test('completion', async () => {
  const r = await client.chat.completions.create({ model, messages: ask('[[tokens=3 prompt=9]] hi') });
  assert.ok(r.choices[0].message.content);
  assert.deepEqual([r.usage.prompt_tokens, r.usage.completion_tokens], [9, 3]);
  assert.match(r._request_id, /^req_/);
});

test('stream', async () => {
  const chunks = await collect(await client.chat.completions.create({ model, messages: ask('[[tokens=8 delay=5]] hi'), stream: true }));
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.filter((c) => c.choices[0].delta.content).length, 8);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

test('stream with usage', async () => {
  const chunks = await collect(
    await client.chat.completions.create({
      model, messages: ask('[[tokens=4 prompt=21]] hi'), stream: true, stream_options: { include_usage: true },
    }),
  );
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.deepEqual([chunks.at(-1).usage.prompt_tokens, chunks.at(-1).usage.completion_tokens], [21, 4]);
});

test('stream helper', async () => {
  const r = await client.chat.completions.stream({ model, messages: ask('[[tokens=4]] hi') }).finalChatCompletion();
  assert.ok(r.choices[0].message.content);
});

test('tools', async () => {
  const r = await client.chat.completions.create({ model, messages: ask('[[tools=1]] weather?'), tools });
  JSON.parse(r.choices[0].message.tool_calls[0].function.arguments);
});

test('tools in a stream', async () => {
  const r = await client.chat.completions.stream({ model, messages: ask('[[tools=1]] weather?'), tools }).finalChatCompletion();
  JSON.parse(r.choices[0].message.tool_calls[0].function.arguments);
});

test('image input', async () => {
  const content = [
    { type: 'text', text: '[[tokens=2]] what is this?' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,' + 'iVBORw0KGgo'.repeat(500) } },
  ];
  assert.ok((await client.chat.completions.create({ model, messages: [{ role: 'user', content }] })).choices.length);
});

test('20 parallel streams', async () => {
  const one = async (i) =>
    (await collect(await client.chat.completions.create({ model, messages: ask(`[[tokens=20 delay=5]] ${i}`), stream: true })))
      .map((c) => c.choices[0].delta.content ?? '')
      .join('');
  const texts = await Promise.all(Array.from({ length: 20 }, (_, i) => one(i)));
  assert.equal(new Set(texts).size, 1);
  assert.equal(texts[0].trim().split(/\s+/).length, 20);
});

test('headers with the response', async () => {
  const { response, request_id } = await client.chat.completions.create({ model, messages: ask('[[tokens=1]]') }).withResponse();
  assert.match(request_id, /^req_/);
  assert.ok(response.headers.get('x-ratelimit-limit-requests') !== null);
});

test('models', async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
  await assert.rejects(client.models.retrieve('some/model'), OpenAI.NotFoundError);
});

test('authentication error', async () => {
  await assert.rejects(make({ apiKey: 'sk-or-wrong' }).chat.completions.create({ model, messages: ask('x') }), (e) => {
    assert.ok(e instanceof OpenAI.AuthenticationError);
    assert.equal(e.code, 'invalid_api_key');
    assert.match(e.requestID, /^req_/);
    return true;
  });
});

for (const [status, kind] of [
  [400, OpenAI.BadRequestError],
  [404, OpenAI.NotFoundError],
  [409, OpenAI.ConflictError],
  [422, OpenAI.UnprocessableEntityError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
]) {
  for (const stream of [false, true]) {
    test(`error ${status}${stream ? ' for a stream' : ''}`, async () => {
      await assert.rejects(client.chat.completions.create({ model, messages: ask(`[[status=${status} code=c${status}]]`), stream }), (e) => {
        assert.ok(e instanceof kind);
        assert.equal(e.status, status);
        assert.equal(e.code, `c${status}`);
        return true;
      });
    });
  }
}

test('errors of the router', async () => {
  await assert.rejects(client.chat.completions.create({ model, messages: [] }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'messages');
  await assert.rejects(client.chat.completions.create({ model: 'missing-model', messages: ask('x') }), OpenAI.NotFoundError);
  const limited = make({ apiKey: env.RPM_KEY });
  await limited.chat.completions.create({ model, messages: ask('[[tokens=1]]') });
  await assert.rejects(limited.chat.completions.create({ model, messages: ask('[[tokens=1]]') }), OpenAI.RateLimitError);
  await assert.rejects(make({ apiKey: env.OTHER_KEY }).chat.completions.create({ model, messages: ask('x') }), OpenAI.PermissionDeniedError);
});

test('no credit is not tried again', async () => {
  let sent = 0;
  const counting = make({ apiKey: env.POOR_KEY, maxRetries: 2, fetch: (...a) => (sent++, fetch(...a)) });
  await assert.rejects(counting.chat.completions.create({ model, messages: ask('x') }), (e) => e.code === 'insufficient_quota');
  assert.equal(sent, 1);
});

test('connection error', async () => {
  await assert.rejects(make({ baseURL: env.DEAD_URL }).chat.completions.create({ model, messages: ask('x') }), OpenAI.APIConnectionError);
});

test('timeout', async () => {
  const before = await cancelled();
  await assert.rejects(
    make({ timeout: 2000 }).chat.completions.create({ model, messages: ask('[[first=30000 tokens=1]]') }),
    OpenAI.APIConnectionTimeoutError,
  );
  await waitForCancel(before);
});

test('a cancelled stream', async () => {
  const before = await cancelled();
  const stream = await client.chat.completions.create({ model, messages: ask('[[tokens=500 delay=20]]'), stream: true });
  let n = 0;
  for await (const _ of stream) if (++n === 5) break;
  await waitForCancel(before);
});

test('an error in mid-stream is thrown', async () => {
  const stream = await client.chat.completions.create({ model, messages: ask('[[tokens=50 delay=1 cut=10]]'), stream: true });
  await assert.rejects(collect(stream), OpenAI.APIError);
});
