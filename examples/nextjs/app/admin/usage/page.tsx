// A server component: the signed-in person's own usage of the last 30 days.
import { usageByDay } from '../../../lib/usage';

// Replace it with the sign-in of your app. The id must be the user_id that your app records.
async function currentUserId(): Promise<string> {
  return process.env.EXAMPLE_USER_ID!;
}

export default async function UsagePage() {
  const days = await usageByDay(await currentUserId(), 'Asia/Seoul');
  return (
    <table>
      <thead>
        <tr>
          <th>Day</th>
          <th>Calls</th>
          <th>Tokens</th>
          <th>Cost (USD)</th>
        </tr>
      </thead>
      <tbody>
        {days.map((row) => (
          <tr key={row.day}>
            <td>{row.day}</td>
            <td>{row.calls}</td>
            <td>{row.total_tokens}</td>
            <td>{row.cost_usd ?? '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
