// What chat pages are built with, the `ai` package and its OpenAI provider: streams and a tool loop through the router.
import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { convertToModelMessages, embed, generateText, isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';
import { collect, env, last, load, test } from './fidelity.mjs';

const openai = createOpenAI({ baseURL: env.BASE_URL, apiKey: env.API_KEY });
const kinds = { chat: openai.chat('gpt-4o-mini'), responses: openai('gpt-4o-mini') };
const tools = {
  get_weather: tool({
    description: 'Current weather for a city',
    inputSchema: z.object({ city: z.string(), unit: z.string().optional() }),
    execute: async ({ city }) => `fine in ${city}`,
  }),
};

for (const [name, model] of Object.entries(kinds)) {
  test(`${name}: a page's messages, streamed back as its protocol`, async () => {
    const fixture = name === 'chat' ? 'openai/chat_stream.sse' : 'openai/responses_stream.sse';
    const messages = await convertToModelMessages([{ role: 'user', parts: [{ type: 'text', text: `[[fixture=${fixture}]]` }] }]);
    const r = streamText({ model, messages, maxRetries: 0 });
    const page = await r.toUIMessageStreamResponse().text();
    assert.match(page, /"delta":"¡Ho"/);
    assert.match(page, /data: \[DONE\]/);
    assert.equal(await r.text, '¡Hola!');
    assert.equal(await r.finishReason, 'stop');
    assert.equal((await r.usage).outputTokens, 4);
  });

  test(`${name}: a tool loop, streamed`, async () => {
    const r = streamText({ model, prompt: '[[do=agent]]', tools, stopWhen: isStepCount(3), maxRetries: 0 });
    const got = await collect(r.fullStream);
    const results = got.filter((p) => p.type === 'tool-result').map((p) => p.output);
    assert.deepEqual(results, name === 'chat' ? ['fine in Lima', 'fine in Oslo'] : ['fine in Lima']);
    assert.equal(await r.text, '¡Hola!');
    const { json } = await last();
    const sent = name === 'chat' ? json.messages.filter((m) => m.role === 'tool') : json.input.filter((i) => i.type === 'function_call_output');
    assert.equal(sent.length, results.length);
  });
}

test('chat: a tool loop with Anthropic behind it', async () => {
  const r = await generateText({ model: openai.chat('claude-sonnet-5'), prompt: '[[do=agent]]', tools, stopWhen: isStepCount(3), maxRetries: 0 });
  assert.equal(r.text, 'Lima');
  assert.deepEqual(r.steps[0].toolResults.map((t) => t.output), ['fine in Lima', 'fine in Oslo']);
});

test('embeddings', async () => {
  const r = await embed({ model: openai.embedding('text-embedding-3-small'), value: '[[fixture=openai/embeddings_float.response.json]]', maxRetries: 0 });
  assert.deepEqual(r.embedding, load('openai/embeddings_float.response.json').data[0].embedding);
});

test('an error', async () => {
  await assert.rejects(generateText({ model: kinds.chat, prompt: '[[error=context_length]]', maxRetries: 2 }), (e) => {
    assert.equal(e.statusCode, 400);
    assert.equal(e.data.error.code, 'context_length_exceeded');
    return true;
  });
});
