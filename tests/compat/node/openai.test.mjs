// OpenAI's Node SDK: every surface gives what upstream said, and upstream got what the SDK sent.
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import { ask, collect, env, last, load, plain, raw, same, sameEvents, test } from './fidelity.mjs';

const model = 'gpt-4o-mini';
const make = (options = {}) => new OpenAI({ baseURL: env.BASE_URL, apiKey: env.API_KEY, maxRetries: 0, timeout: 30000, ...options });
const client = make();
const SOUND = Buffer.alloc(512000, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
const PIXEL = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(64)]);
const bytes = (part) => Buffer.from(part[2], 'latin1');

for (const name of ['plain', 'tools', 'tools_followup', 'vision', 'json_schema']) {
  test(`chat: ${name}`, async () => {
    const r = await client.chat.completions.create(load(`openai/chat_${name}.request.json`));
    same(r, `openai/chat_${name}.response.json`);
    assert.match(r._request_id, /^req_[0-9a-f]{32}$/);
  });
}

test('what is the client’s own is not forwarded, what is unknown is', async () => {
  const body = { ...load('openai/chat_plain.request.json'), messages: ask('[[fixture=openai/chat_plain.response.json]]'), x_new: { a: [null] } };
  await make({ organization: 'org-client', project: 'proj_client', defaultHeaders: { cookie: 'a=b' } }).chat.completions.create(body);
  assert.deepEqual((await last()).json, body);
});

for (const name of ['stream', 'stream_tools']) {
  test(`chat: ${name}`, async () => {
    sameEvents(await collect(await client.chat.completions.create(load(`openai/chat_${name}.request.json`))), `openai/chat_${name}.sse`);
  });
}

test('chat: a stream without usage', async () => {
  const { stream_options: _, ...request } = load('openai/chat_stream.request.json');
  sameEvents(await collect(await client.chat.completions.create(request)), 'openai/chat_stream_client_did_not_ask.sse');
});

test('chat: stream helper', async () => {
  const { stream: _, ...request } = load('openai/chat_stream_tools.request.json');
  const r = await client.chat.completions.stream(request).finalChatCompletion();
  assert.deepEqual(r.choices[0].message.tool_calls.map((c) => c.function.arguments), ['{"city":"Lima"}', '{"city":"Oslo"}']);
  assert.equal(r.usage.total_tokens, 99);
});

test('chat: runTools, a loop of two calls', async () => {
  const { function: get_weather } = load('openai/chat_tools.request.json').tools[0];
  for (const [stream, text] of [[false, 'Lima: 19 °C and cloudy. Oslo: -2 °C with snow.'], [true, '¡Hola!']]) {
    const tool = { ...get_weather, parse: JSON.parse, function: ({ city }) => `fine in ${city}` };
    const runner = client.chat.completions.runTools({ model, messages: ask('[[do=agent]]'), stream, tools: [{ type: 'function', function: tool }] });
    assert.equal(await runner.finalContent(), text);
    const sent = (await last()).json.messages;
    assert.deepEqual(sent.filter((m) => m.role === 'tool').map((m) => [m.tool_call_id, m.content]),
      [['call_fxA1', 'fine in Lima'], ['call_fxB2', 'fine in Oslo']]);
  }
});

test('chat: parse helper', async () => {
  const request = { ...load('openai/chat_json_schema.request.json'), messages: ask('[[fixture=openai/chat_json_schema.response.json]]') };
  const r = await client.chat.completions.parse(request);
  assert.deepEqual(r.choices[0].message.parsed, { city: 'Lima', country: 'Peru' });
});

test('chat: an error in a stream', async () => {
  const got = [];
  const stream = await client.chat.completions.create({ model, messages: ask('[[fixture=openai/chat_stream_error.sse]]'), stream: true });
  await assert.rejects(async () => {
    for await (const c of stream) got.push(c.choices[0].delta.content);
  }, (e) => e instanceof OpenAI.APIError && e.code === 'upstream_stream_error' && e.type === 'server_error');
  assert.deepEqual(got, ['', 'Partial']);
});

test('completions', async () => {
  const request = load('openai/completions.request.json');
  same(await client.completions.create(request), 'openai/completions.response.json');
  sameEvents(await collect(await client.completions.create({ ...request, stream: true })), 'openai/completions_stream.sse');
});

test('embeddings', async () => {
  for (const kind of ['float', 'base64'])
    same(await client.embeddings.create(load(`openai/embeddings_${kind}.request.json`)), `openai/embeddings_${kind}.response.json`);
  const { encoding_format: _, ...request } = load('openai/embeddings_float.request.json');
  const r = await client.embeddings.create(request); // the SDK asks for base64 and decodes it
  assert.equal((await last()).json.encoding_format, 'base64');
  assert.deepEqual(r.data.map((d) => [...d.embedding]), load('openai/embeddings_float.response.json').data.map((d) => d.embedding));
});

test('moderations', async () => same(await client.moderations.create(load('openai/moderations.request.json')), 'openai/moderations.response.json'));

test('models', async () => {
  const got = await collect(client.models.list());
  const one = got.find((m) => m.id === model);
  assert.deepEqual(plain(await client.models.retrieve(model)), plain(one));
  assert.equal((await client.models.retrieve('openai/gpt-4o-mini')).id, 'openai/gpt-4o-mini');
  await assert.rejects(client.models.retrieve('no/such'), (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found');
});

test('responses: create and its streams', async () => {
  const r = await client.responses.create(load('openai/responses.request.json'));
  same(r, 'openai/responses.response.json', 'output_text');
  for (const name of ['stream', 'stream_tool'])
    sameEvents(await collect(await client.responses.create(load(`openai/responses_${name}.request.json`))), `openai/responses_${name}.sse`);
});

test('responses: stream helper', async () => {
  const { stream: _, ...request } = load('openai/responses_stream.request.json');
  const r = await client.responses.stream(request).finalResponse();
  assert.equal(r.output_text, '¡Hola!');
});

test('responses: one that fails', async () => {
  const create = (input) => client.responses.create({ model, input, stream: true });
  await assert.rejects(create('[[fixture=openai/responses_stream_failed.sse]]'), (e) => e.status === 502 && e.code === 'upstream_error');
  const got = await collect(await create('[[do=fail-late]]'));
  assert.equal(got.at(-1).type, 'response.failed');
  assert.equal(got.at(-1).response.error.code, 'server_error');
});

test('responses: objects', async () => {
  const r = await client.responses.create({ model, input: '[[fixture=openai/responses.response.json]]' });
  same(await client.responses.retrieve(r.id), 'openai/responses.response.json', 'output_text');
  const items = await client.responses.inputItems.list(r.id, { limit: 5, order: 'asc' });
  assert.deepEqual(plain(items.data), load('openai/responses_input_items.response.json').data);
  assert.equal((await last()).query, 'limit=5&order=asc');
  same(await client.responses.cancel(r.id), 'openai/responses.response.json', 'output_text');
  await client.responses.delete(r.id);
  assert.equal((await last()).path, `/responses/${r.id}`);
});

test('images', async () => {
  same(await client.images.generate(load('openai/images_generations.request.json')), 'openai/images_generations.response.json');
  const image = [await toFile(PIXEL, 'a.png', { type: 'image/png' }), await toFile(PIXEL, 'b.png', { type: 'image/png' })];
  for (const several of [false, true]) {
    same(await client.images.edit({ model: 'gpt-image-1', image: several ? image : image[0], prompt: 'redder' }), 'openai/images_generations.response.json');
    const { parts } = await last();
    assert.deepEqual(parts[several ? 'image[]' : 'image'].map((p) => [p[0], p[1], bytes(p).equals(PIXEL)]),
      ['a.png', 'b.png'].slice(0, several ? 2 : 1).map((n) => [n, 'image/png', true]));
    assert.deepEqual(parts.prompt.map((p) => p[2]), ['redder']);
  }
});

test('speech', async () => {
  const request = { model: 'gpt-4o-mini-tts', voice: 'alloy', input: 'Hello there.' };
  const r = await client.audio.speech.create(request);
  assert.equal(r.headers.get('content-type'), 'audio/mpeg');
  assert.ok(Buffer.from(await r.arrayBuffer()).equals(Buffer.alloc(76800, SOUND)));
  assert.deepEqual((await last()).json, request);
});

test('transcriptions', async () => {
  const base = { model: 'gpt-4o-mini-transcribe', file: await toFile(SOUND, 'héllo.wav', { type: 'audio/wav' }) };
  same(await client.audio.transcriptions.create({ ...base, timestamp_granularities: ['word', 'segment'] }), 'openai/audio_transcription_json.response.json');
  const { parts } = await last();
  assert.ok(bytes(parts.file[0]).equals(SOUND));
  assert.deepEqual([parts.file[0][0], parts['timestamp_granularities[]'].map((p) => p[2])], ['héllo.wav', ['word', 'segment']]);
  assert.match(await client.audio.transcriptions.create({ ...base, response_format: 'srt' }), /-->/);
  sameEvents(await collect(await client.audio.transcriptions.create({ ...base, stream: true })), 'openai/audio_transcription_stream.sse');
  assert.equal((await client.audio.translations.create({ ...base, model: 'whisper-1' })).text, 'Hello there.');
});

test('files and batches', async () => {
  const f = await client.files.create({
    file: await toFile(raw('openai/batch_input.jsonl'), 'in.jsonl'), purpose: 'batch', expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  same(f, 'openai/file.response.json');
  const { parts } = await last();
  assert.ok(bytes(parts.file[0]).equals(raw('openai/batch_input.jsonl')));
  assert.equal(parts['expires_after[seconds]'][0][2], '3600');
  same(await client.files.retrieve(f.id), 'openai/file.response.json');
  assert.deepEqual((await collect(client.files.list({ purpose: 'batch' }))).map((x) => x.id), [f.id]);
  const b = await client.batches.create({ input_file_id: f.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  same(b, 'openai/batch.response.json');
  same(await client.batches.retrieve(b.id), 'openai/batch.response.json');
  same(await client.batches.cancel(b.id), 'openai/batch.response.json');
  assert.deepEqual((await collect(client.batches.list())).map((x) => x.id), [b.id]);
  assert.ok(Buffer.from(await (await client.files.content(b.output_file_id)).arrayBuffer()).equals(raw('openai/batch_output.jsonl')));
  assert.equal((await client.files.delete(f.id)).deleted, true);
});

test('chat of Anthropic', async () => {
  const { seed, presence_penalty, metadata, ...request } = load('translate/chat_to_anthropic/1_openai.request.json');
  same(await client.chat.completions.create({ ...request, stop: ['END'], temperature: 1 }), 'translate/chat_to_anthropic/4_openai.response.json', 'created');
  await assert.rejects(client.chat.completions.create({ ...request, seed }), (e) => e instanceof OpenAI.BadRequestError && e.code === 'unsupported_parameter');
  const messages = ask('[[fixture=translate/anthropic_stream_to_chat/1_anthropic.sse]]');
  const stream = await client.chat.completions.create({ model: 'claude-sonnet-5', messages, stream: true, stream_options: { include_usage: true } });
  sameEvents(await collect(stream), 'translate/anthropic_stream_to_chat/2_openai_include_usage.sse', 'created');
});

test('chat of Gemini', async () => {
  same(await client.chat.completions.create(load('translate/chat_to_gemini/1_openai.request.json')), 'translate/chat_to_gemini/4_openai.response.json', 'created');
  const r = await client.chat.completions.stream({ model: 'gemini-3.8-flash', messages: ask('[[fixture=gemini/stream.sse]]') }).finalChatCompletion();
  assert.equal(r.choices[0].message.content, '¡Hola!');
});

test('chat of a model that wants responses', async () => {
  const r = await client.chat.completions.create(load('translate/chat_to_responses/1_openai_chat.request.json'));
  same(r, 'translate/chat_to_responses/4_openai_chat.response.json', 'created');
});

test('responses of Anthropic', async () => {
  const r = await client.responses.stream({ model: 'claude-sonnet-5', input: '[[fixture=anthropic/messages_stream.sse]]', store: false }).finalResponse();
  assert.equal(r.output_text, 'Checking both.');
  assert.deepEqual(r.output.filter((i) => i.type === 'function_call').map((i) => JSON.parse(i.arguments)), [{ city: 'Lima' }, { city: 'Oslo' }]);
});

// ---- errors ----

const OPERATORS = { missing_key: 'auth', invalid_key: 'auth', key_not_allowed: 'auth', budget_exhausted: 'billing' };

for (const c of load('openai/errors.json')) {
  test(`error of upstream: ${c.name}`, async () => {
    let sent = 0;
    const counting = make({ maxRetries: 1, fetch: (...a) => (sent++, fetch(...a)) });
    await assert.rejects(counting.chat.completions.create({ model, messages: ask(`[[error=${c.name}]]`) }), (e) => {
      const ours = OPERATORS[c.name];
      const want = ours ? { type: 'server_error', code: `upstream_${ours}_error`, param: null } : c.body.error;
      assert.equal(e.constructor, ours ? OpenAI.InternalServerError : OpenAI[c.node_class]);
      assert.equal(e.status, ours ? 502 : c.status);
      assert.deepEqual([e.type, e.code, e.param], [want.type, want.code, want.param]);
      assert.match(e.requestID, /^req_[0-9a-f]{32}$/);
      for (const h of ours ? [] : ['retry-after', 'retry-after-ms', 'x-should-retry'])
        if (c.headers[h]) assert.equal(e.headers.get(h), c.headers[h]);
      return true;
    });
    if (c.name !== 'upstream_bad_response') assert.equal(sent, 1 + (c.sdk_retries ? 1 : 0));
  });
}

test('errors of the router', async () => {
  const rejects = (c, body, kind, code, param = null) =>
    assert.rejects(c.chat.completions.create({ model, messages: ask('x'), ...body }), (e) => {
      assert.equal(e.constructor, kind);
      assert.deepEqual([e.code, e.param], [code, param]);
      return true;
    });
  await rejects(make({ apiKey: 'sk-or-wrong' }), {}, OpenAI.AuthenticationError, 'invalid_api_key');
  await rejects(make({ defaultHeaders: { authorization: null } }), {}, OpenAI.AuthenticationError, null);
  await rejects(make({ apiKey: env.OTHER_KEY }), {}, OpenAI.PermissionDeniedError, 'model_not_allowed');
  await rejects(make({ apiKey: env.POOR_KEY, maxRetries: 2 }), {}, OpenAI.RateLimitError, 'insufficient_quota');
  await rejects(client, { model: 'nope' }, OpenAI.NotFoundError, 'model_not_found');
  await rejects(client, { messages: undefined }, OpenAI.BadRequestError, 'missing_required_parameter', 'messages');
  await rejects(client, { messages: ask('x'.repeat(1200000)) }, OpenAI.APIError, 'request_too_large');
  await rejects(client, { messages: ask('[[do=garbage]]') }, OpenAI.InternalServerError, 'upstream_error');
});

