import { TestNats } from '../../helpers/nats.ts';
import { eventually } from '../../helpers/waiting.ts';
import { limitRow, type Row } from '../bar.ts';
import { call } from '../client.ts';
import { startAgent } from '../servers.ts';

const SERVERS = 100;
/** They are started in parts: a start takes a moment of both cores. */
const AT_ONCE = 10;

/** `uname -r` on a hundred agents, each a process of its own on this machine. */
export async function fleetMany(): Promise<Row[]> {
  const names = Array.from({ length: SERVERS }, (_, number) => `web${number + 1}`);
  await using nats = await TestNats.start(...names);
  using hub = await startAgent(nats.hubSettings);
  using servers = new DisposableStack();
  for (let from = 0; from < SERVERS; from += AT_ONCE) {
    const part = names.slice(from, from + AT_ONCE).map((name) => startAgent(nats.serverSettings(name)));
    for (const server of await Promise.all(part)) servers.use(server);
  }
  await eventually('all are connected', async () => {
    const { servers: shown } = await call(hub, 'list_servers', {});
    return (shown as { state: string }[]).every(({ state }) => state === 'connected');
  });
  const once = async (): Promise<{ readonly seconds: number; readonly chars: number }> => {
    const start = performance.now();
    const answer = await call(hub, 'run_on', { select: 'role=web', cmd: 'uname -r' });
    const { groups, status } = answer as { groups: { servers: string[] }[]; status: string };
    if (status !== 'done' || groups.length !== 1) throw new Error(`not all agree: ${JSON.stringify(answer)}`);
    return { seconds: (performance.now() - start) / 1000, chars: JSON.stringify(answer).length };
  };
  const [first, second] = [await once(), await once()];
  return [
    limitRow(`Fleet: \`uname -r\` on ${SERVERS} servers, the first time`, first.seconds, 's', 4),
    limitRow('the same, the second time', second.seconds, 's', 2),
    limitRow('the same: characters of the answer', second.chars, 'characters', 600),
  ];
}
