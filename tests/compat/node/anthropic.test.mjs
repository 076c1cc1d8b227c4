// Anthropic's TypeScript SDK: in front of Anthropic, and of OpenAI and Gemini by translation.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { ask, collect, env, events, last, load, plain, same, seen, test } from './fidelity.mjs';

const model = 'claude-sonnet-5';
const make = (options = {}) => new Anthropic({ baseURL: env.ROOT_URL, apiKey: env.API_KEY, maxRetries: 0, timeout: 30000, ...options });
const client = make();
const weather = (m) => m.content.filter((b) => b.type === 'tool_use').map((b) => [b.name, b.input]);
const BOTH = [['get_weather', { city: 'Lima' }], ['get_weather', { city: 'Oslo' }]];

const CLAUDE_ERRORS = JSON.parse(env.CLAUDE_ERRORS);

test('messages', async () => {
  for (const name of ['plain', 'tools'])
    same(await client.messages.create(load(`anthropic/messages_${name}.request.json`)), `anthropic/messages_${name}.response.json`);
  same(await client.messages.create(load('anthropic/messages_tools_followup.request.json')), 'anthropic/messages_plain.response.json');
  const r = await client.messages.create(load('anthropic/messages_plain.request.json')).withResponse();
  assert.match(r.request_id, /^req_[0-9a-f]{32}$/);
});

test('a key in either header', async () => {
  for (const how of [{ apiKey: env.API_KEY }, { apiKey: null, authToken: env.API_KEY }])
    assert.equal((await make(how).messages.create(load('anthropic/messages_plain.request.json'))).content[0].text, 'Lima');
});

test('a stream', async () => {
  const got = await collect(await client.messages.create(load('anthropic/messages_stream.request.json')));
  const some = (all) => all.filter((e) => e.type !== 'ping'); // whether an SDK shows pings is its own matter
  assert.deepEqual(some(plain(got)), some(events('anthropic/messages_stream.sse')));
});

test('stream helper', async () => {
  const { stream: _, ...request } = load('anthropic/messages_stream.request.json');
  const r = await client.messages.stream(request).finalMessage();
  assert.deepEqual(r.content.map((b) => b.type), ['thinking', 'text', 'tool_use', 'tool_use']);
  assert.equal(r.content[0].signature, 'c2lnLWZ4NTAz');
  assert.deepEqual(weather(r), BOTH);
  assert.deepEqual([r.stop_reason, r.usage.cache_read_input_tokens, r.usage.output_tokens], ['tool_use', 1800, 118]);
});

test('an error in a stream', async () => {
  const stream = await client.messages.create({ model, max_tokens: 64, messages: ask('[[fixture=anthropic/messages_stream_error.sse]]'), stream: true });
  await assert.rejects(collect(stream), (e) => e instanceof Anthropic.APIError && /overloaded_error/.test(e.message));
});

test('what is unknown is forwarded', async () => {
  const body = { model, max_tokens: 64, messages: ask('[[fixture=anthropic/messages_plain.response.json]]'), x_new: [{ a: null }] };
  await client.messages.create(body, { headers: { 'anthropic-beta': 'a,b' } });
  const got = await last();
  assert.deepEqual(got.json, body);
  assert.equal(got.headers['anthropic-beta'], 'a,b');
  assert.match(got.headers['anthropic-version'], /^202\d-/);
});

test('count_tokens', async () => {
  same(await client.messages.countTokens(load('anthropic/count_tokens.request.json')), 'anthropic/count_tokens.response.json');
  await seen();
  const n = (await client.messages.countTokens({ model: 'gpt-4o-mini', messages: ask('Capital of Peru?') })).input_tokens;
  assert.ok(n > 0 && n < 30);
  assert.deepEqual(await seen(), []); // an estimate of the router's own
});

test('models', async () => {
  const got = await collect(client.models.list({ limit: 1000 }));
  const one = got.find((m) => m.id === model);
  assert.ok(one.type === 'model' && one.display_name && Date.parse(one.created_at));
  assert.equal((await client.models.retrieve(model)).id, model);
});

for (const [name, [status, kind, shown, kindShown]] of Object.entries(CLAUDE_ERRORS)) {
  test(`error of upstream: ${name}`, async () => {
    await assert.rejects(client.messages.create({ model, max_tokens: 64, messages: ask(`[[claude=${name}]]`) }), (e) => {
      assert.equal(e.status, shown);
      assert.equal(e.error.type, 'error');
      assert.equal(e.error.error.type, kindShown);
      if (status === shown && kind === kindShown) assert.equal(e.error.error.message, `${name} of upstream`);
      assert.match(e.requestID, /^req_[0-9a-f]{32}$/);
      return true;
    });
  });
}

test('errors of the router', async () => {
  const rejects = (c, body, kind, type) =>
    assert.rejects(c.messages.create({ model, max_tokens: 9, messages: ask('x'), ...body }), (e) => e.constructor === kind && e.error.error.type === type);
  await rejects(make({ apiKey: 'sk-or-wrong' }), {}, Anthropic.AuthenticationError, 'authentication_error');
  await rejects(make({ apiKey: env.OTHER_KEY }), {}, Anthropic.PermissionDeniedError, 'permission_error');
  await rejects(client, { model: 'claude-nope' }, Anthropic.NotFoundError, 'not_found_error');
  await rejects(client, { max_tokens: 0 }, Anthropic.BadRequestError, 'invalid_request_error');
});

test('messages of OpenAI', async () => {
  same(await client.messages.create(load('translate/messages_to_openai/1_anthropic.request.json')), 'translate/messages_to_openai/4_anthropic.response.json');
  const r = await client.messages.stream({ model: 'gpt-4o-mini', max_tokens: 64, messages: ask('[[fixture=openai/chat_stream_tools.sse]]') }).finalMessage();
  assert.deepEqual(weather(r), BOTH);
  assert.deepEqual([r.stop_reason, r.usage.input_tokens, r.usage.output_tokens], ['tool_use', 64, 35]);
  const text = await client.messages.stream({ model: 'gpt-4o-mini', max_tokens: 64, messages: ask('[[fixture=openai/chat_stream.sse]]') }).finalText();
  assert.equal(text, '¡Hola!');
});

test('an error in a stream of OpenAI', async () => {
  const stream = await client.messages.create({ model: 'gpt-4o-mini', max_tokens: 64, messages: ask('[[fixture=openai/chat_stream_error.sse]]'), stream: true });
  await assert.rejects(collect(stream), (e) => e instanceof Anthropic.APIError && /api_error/.test(e.message));
});

test('messages of Gemini', async () => {
  const request = { model: 'gemini-3.8-flash', max_tokens: 64 };
  const r = await client.messages.create({ ...request, messages: ask('[[fixture=gemini/generate_tools.response.json]]') });
  assert.deepEqual(weather(r), BOTH.slice(0, 1));
  assert.deepEqual([r.usage.input_tokens, r.usage.cache_read_input_tokens, r.usage.output_tokens], [56, 64, 45]);
  assert.equal(await client.messages.stream({ ...request, messages: ask('[[fixture=gemini/stream.sse]]') }).finalText(), '¡Hola!');
});
