// The Vercel AI SDK, version 5, 6 or 7, with its providers' packages. Run by capture.py: ENDPOINT OUT SCENARIO=API
import { readFileSync, writeFileSync } from 'node:fs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import * as ai from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import { z } from 'zod';

const [endpoint, out, call] = process.argv.slice(2);
const [scenario, api] = call.split('=');
const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
const major = Number(version('ai').split('.')[0]);
const packages = ['ai', '@ai-sdk/openai', '@ai-sdk/anthropic', '@ai-sdk/google', '@ai-sdk/amazon-bedrock'];
if (major >= 7) packages.push('@ai-sdk/otel');

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'app' }),
  spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
});
provider.register();

let telemetry = {
  experimental_telemetry: { isEnabled: true, functionId: 'summary', metadata: { userId: 'u_1', sessionId: 's_1' } },
};
if (major >= 7) {
  const { OpenTelemetry } = await import('@ai-sdk/otel');
  ai.registerTelemetry(new OpenTelemetry({ usage: true }));
  telemetry = { telemetry: { isEnabled: true, functionId: 'summary' } };
}
const fields = major >= 7 ? {} : { user_id: 'u_1', session_id: 's_1', operation: 'summary' };

const openai = createOpenAI({ baseURL: `${api}/v1`, apiKey: 'key' });
const anthropic = createAnthropic({ baseURL: `${api}/v1`, apiKey: 'key' });
const google = createGoogleGenerativeAI({ baseURL: `${api}/v1beta`, apiKey: 'key' });
const bedrock = createAmazonBedrock({
  baseURL: api, region: 'us-east-1', accessKeyId: 'key', secretAccessKey: 'key',
});
const base = { maxRetries: 0, ...telemetry };

const calls = async (model) => {
  await ai.generateText({ ...base, model, prompt: 'hi' });
  await ai.streamText({ ...base, model, prompt: 'hi' }).consumeStream();
}

async function openai_responses() {
  await calls(openai('gpt-5-mini'));
}

async function openai_chat() {
  await calls(openai.chat('gpt-5-mini'));
}

async function anthropic_messages() {
  await calls(anthropic('claude-sonnet-4-5'));
}

async function gemini() {
  await calls(google('gemini-2.5-flash'));
}

async function bedrock_converse() {
  await calls(bedrock('us.anthropic.claude-sonnet-4-5-20250929-v1:0'));
}

async function tool_and_object() {
  const weather = ai.tool({
    description: 'Weather', inputSchema: z.object({ city: z.string() }), execute: async () => 'sun',
  });
  await ai.generateText({
    ...base, model: anthropic('claude-sonnet-4-5'), prompt: 'use the tool', tools: { weather },
    stopWhen: (ai.stepCountIs ?? ai.isStepCount)(3),
  });
  if (ai.generateObject) {
    const schema = z.object({ answer: z.string() });
    await ai.generateObject({ ...base, model: openai('gpt-5-mini'), prompt: 'hi', schema });
  }
}

async function embeddings() {
  const model = (openai.textEmbeddingModel ?? openai.embeddingModel)('text-embedding-3-small');
  await ai.embed({ ...base, model, value: 'hi' });
  await ai.embedMany({ ...base, model, values: ['a', 'b'] });
}

async function errors() {
  for (const prompt of ['fail 429', 'fail 500']) {
    await ai.generateText({ ...base, model: openai('gpt-5-mini'), prompt }).catch(() => {});
  }
  await ai.streamText({ ...base, model: anthropic('claude-sonnet-4-5'), prompt: 'fail 429', onError() {} }).consumeStream();
  await ai.streamText({ ...base, model: anthropic('claude-sonnet-4-5'), prompt: 'cut stream', onError() {} }).consumeStream();
}

const scenarios = {
  openai_responses, openai_chat, anthropic_messages, gemini, bedrock_converse, tool_and_object, embeddings, errors,
};
await scenarios[scenario]();
await provider.forceFlush();
await provider.shutdown();
const versions = Object.fromEntries(packages.map((name) => [name, version(name)]));
writeFileSync(out, JSON.stringify({ library: 'ai', version: versions.ai, packages: versions, fields, lacks: [] }));
