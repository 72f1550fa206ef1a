// Runs the Next.js example as Next.js would: register() once, then a request to the route.
import { trace } from '@opentelemetry/api';
import { MockLanguageModelV4 } from 'ai/test';
import { register } from './instrumentation.js';
import { POST } from './route.js';

const usage = {
  inputTokens: { total: 812, noCache: 800, cacheRead: 12, cacheWrite: 0 },
  outputTokens: { total: 164, text: 100, reasoning: 64 },
};
const answer = {
  content: [{ type: 'text', text: 'Short.' }], finishReason: { unified: 'stop', raw: 'stop' }, usage, warnings: [],
  response: { id: 'resp-1', modelId: 'gemini-2.5-flash', timestamp: new Date() },
};
// What a model's plain name means is the AI SDK's default provider: here its own mock.
globalThis.AI_SDK_DEFAULT_PROVIDER = {
  specificationVersion: 'v4',
  languageModel: () =>
    new MockLanguageModelV4({ provider: 'google.generative-ai', modelId: 'gemini-2.5-flash', doGenerate: async () => answer }),
};
register();
const response = await POST(new Request('http://localhost/api/summary', { method: 'POST', body: '{"text": "Long.", "userId": "u_42"}' }));
console.log(JSON.stringify(await response.json()));
const provider = trace.getTracerProvider();
await (provider.getDelegate?.() ?? provider).forceFlush();
