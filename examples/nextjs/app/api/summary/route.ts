import { generateText } from 'ai';

export async function POST(request: Request) {
  const { text, userId } = await request.json();
  const answer = await generateText({
    model: 'google/gemini-2.5-flash',
    prompt: `Summarise:\n${text}`,
    runtimeContext: { userId },
    telemetry: { isEnabled: true, includeRuntimeContext: { userId: true } },
  });
  return Response.json({ summary: answer.text });
}
