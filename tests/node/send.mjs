// Sends what an app would: the Vercel AI SDK with its own mock models, through OpenTelemetry's exporters.
// node send.mjs URL proto|http
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { OTLPTraceExporter as HttpExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { embed, generateText, registerTelemetry, stepCountIs, streamText, tool } from 'ai';
import { MockEmbeddingModelV4, MockLanguageModelV4, simulateReadableStream } from 'ai/test';
import { OpenTelemetry } from '@ai-sdk/otel';
import * as ai6 from 'ai6';
import * as test6 from 'ai6/test';
import { z } from 'zod';

const [url, kind] = process.argv.slice(2);
const Exporter = kind === 'proto' ? ProtoExporter : HttpExporter;
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'next-app', 'vercel.region': 'icn1', env: 'production' }),
  spanProcessors: [new BatchSpanProcessor(new Exporter({
    url: `${url}/v1/traces`,
    headers: { Authorization: `Bearer ${process.env.TRACKER_DEBUG_TOKEN}` },
    compression: 'gzip',
  }))],
});
provider.register();

const usage = {
  inputTokens: { total: 100, noCache: 60, cacheRead: 30, cacheWrite: 10 },
  outputTokens: { total: 50, text: 30, reasoning: 20 },
};
const finishReason = { unified: 'stop', raw: 'stop' };
const response = { id: 'resp-1', modelId: 'gemini-2.5-flash', timestamp: new Date(0) };
const named = { provider: 'google.generative-ai', modelId: 'gemini-2.5-flash' };
const text = async () => ({ content: [{ type: 'text', text: 'Hi' }], finishReason, usage, warnings: [], response });
const stream = async () => ({
  stream: simulateReadableStream({ chunks: [
    { type: 'stream-start', warnings: [] },
    { type: 'response-metadata', ...response },
    { type: 'text-start', id: '1' }, { type: 'text-delta', id: '1', delta: 'Hi' }, { type: 'text-end', id: '1' },
    { type: 'finish', finishReason, usage },
  ] }),
});

// Version 6: the SDK's own ai.* spans.
const old = { isEnabled: true, functionId: 'summary_generation', metadata: { userId: 'u_42' } };
await ai6.generateText({ model: new test6.MockLanguageModelV3({ ...named, doGenerate: text }), prompt: 'x', experimental_telemetry: old });
await ai6.streamText({ model: new test6.MockLanguageModelV3({ ...named, doStream: stream }), prompt: 'x', experimental_telemetry: old }).consumeStream();

// Version 7: spans by OpenTelemetry's GenAI conventions.
registerTelemetry(new OpenTelemetry());
let turn = 0;
const withTool = async () => (turn++ === 0
  ? { content: [{ type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{}' }], finishReason: { unified: 'tool-calls', raw: 'tool_calls' }, usage, warnings: [], response }
  : text());
const weather = tool({ description: 'Weather', inputSchema: z.object({}), execute: async () => 'sun' });
await generateText({ model: new MockLanguageModelV4({ ...named, doGenerate: withTool }), prompt: 'x', tools: { weather }, stopWhen: stepCountIs(3), telemetry: { isEnabled: true } });
await streamText({ model: new MockLanguageModelV4({ ...named, doStream: stream }), prompt: 'x', telemetry: { isEnabled: true } }).consumeStream();
await embed({ model: new MockEmbeddingModelV4({ provider: 'openai.embedding', modelId: 'text-embedding-3-small', doEmbed: async () => ({ embeddings: [[0.1]], usage: { tokens: 8 }, warnings: [] }) }), value: 'x', telemetry: { isEnabled: true } });

await provider.shutdown();
