// Next.js runs this once a server. npm install ai @ai-sdk/otel @vercel/otel and what @vercel/otel asks for.
// Where the spans go stand in .env.example; with version 6 of the AI SDK leave out registerTelemetry.
import { OpenTelemetry } from '@ai-sdk/otel';
import { registerOTel } from '@vercel/otel';
import { registerTelemetry } from 'ai';

export function register() {
  registerOTel({ serviceName: 'notes' });
  registerTelemetry(
    new OpenTelemetry({
      usage: true, // reasoning tokens too
      enrichSpan: ({ runtimeContext }) => ({ 'user.id': runtimeContext?.userId }),
    }),
  );
}
