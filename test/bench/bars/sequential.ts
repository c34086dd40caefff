import { median, missingRow, type Row, ratioRow } from '../bar.ts';
import { Connection, requestText, timeRequests } from '../client.ts';
import { type Server, startAgent, startWebhook } from '../servers.ts';
import { Spawner } from '../spawner.ts';

const ROUNDS = 30;
const PER_ROUND = 60;
/** The first rounds warm up caches and compilers. */
const WARM_UP = 5;

/** `true` over one connection, against the bare system call and against webhook. */
export async function sequential(hasWebhook: boolean): Promise<Row[]> {
  using agent = await startAgent();
  using webhook = hasWebhook ? await startWebhook() : undefined;
  using spawner = new Spawner();
  const contestants: Record<string, (count: number) => Promise<number[]>> = {
    agent: await requester(agent),
    spawn: (count) => spawner.run(count),
    ...(webhook && { webhook: await requester(webhook) }),
  };
  const times = await interleave(contestants);
  const measured = median(times['agent'] ?? []);
  const against = (peer: string, name: string, atMost: number): Row =>
    ratioRow(
      `\`true\` over one connection, p50, against ${name}`,
      {
        measured,
        baseline: median(times[peer] ?? []),
        unit: 'ms',
        peer: name,
      },
      { atMost },
    );
  return [
    against('spawn', 'posix_spawn', 1.75),
    webhook
      ? against('webhook', 'webhook', 1.15)
      : missingRow('`true` over one connection, against webhook', 'no webhook'),
  ];
}

async function requester(server: Server): Promise<(count: number) => Promise<number[]>> {
  const connection = await Connection.open(server.port);
  const request = requestText(server);
  return (count) => timeRequests(connection, request, count);
}

async function interleave(
  contestants: Readonly<Record<string, (count: number) => Promise<number[]>>>,
): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const took = await run(PER_ROUND);
      if (round >= WARM_UP) times[name] = [...(times[name] ?? []), ...took];
    }
  }
  return times;
}
