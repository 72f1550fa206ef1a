// Reads the usage of one person from the dashboard, with a token that this server signs for five minutes.
import { createHmac } from 'node:crypto';

export type UsageRow = { day: string; calls: number; total_tokens: number; cost_usd: string | null };

const encode = (value: object | Buffer) =>
  (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString('base64url');

/** A JSON Web Token (HS256) that reads the calls of this user only. The key stays on the server. */
export function signToken(userId: string, key: string, now = Date.now()): string {
  const content = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: userId, exp: Math.floor(now / 1000) + 300 })}`;
  return `${content}.${encode(createHmac('sha256', key).update(content).digest())}`;
}

export async function usageByDay(userId: string, timezone = 'UTC'): Promise<UsageRow[]> {
  const url = new URL('/api/usage', process.env.TRACKER_DASHBOARD_URL);
  url.search = new URLSearchParams({ group_by: 'day', measure: 'calls,total_tokens,cost_usd', timezone }).toString();
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${signToken(userId, process.env.TRACKER_API_SIGNING_KEY!)}` },
    cache: 'no-store',
  });
  if (!response.ok) throw new Error(`The usage can't be read: ${response.status} ${await response.text()}`);
  return (await response.json()).data;
}
