import { Freeze } from '../../../src/access/freeze.ts';
import { HubAccess } from '../../../src/access/hub-access.ts';
import { BUILT_IN } from '../../../src/access/profile.ts';
import { Member, type MemberDeps } from '../../../src/fleet/member.ts';
import { readMembership } from '../../../src/fleet/membership.ts';
import { OneShotEvent } from '../../../src/lib/clock.ts';
import { TestNats } from '../../helpers/nats.ts';
import { eventually } from '../../helpers/waiting.ts';
import { limitRow, median, type Row } from '../bar.ts';
import { Connection, call, requestText, timeRequests } from '../client.ts';
import { cpuMs, rssMib, type Server, startAgent } from '../servers.ts';

const CALLS = 300;
const ROUNDS = 4;
const SERVERS = 100;
const IDLE_SECONDS = 45;

/** A hub, and servers that it reaches through Debian's NATS on this machine. */
export async function fleet(): Promise<Row[]> {
  return [...(await oneCall()), ...(await presence())];
}

/** `true` on one server: through its hub, and without. */
async function oneCall(): Promise<Row[]> {
  await using nats = await TestNats.start('web1');
  using web1 = await startAgent(nats.serverSettings('web1'));
  using hub = await startAgent(nats.hubSettings);
  await answers(hub, 'web1');
  const body = JSON.stringify({ op: 'shell', args: { server: 'web1', cmd: 'true' } });
  using through = await Connection.open(hub.port);
  using direct = await Connection.open(web1.port);
  const times: { readonly through: number[]; readonly direct: number[] } = { through: [], direct: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const [slow, quick] = [
      await timeRequests(through, requestText(hub, body), CALLS),
      await timeRequests(direct, requestText(web1), CALLS),
    ];
    // The first round is warm-up.
    if (round === 0) continue;
    times.through.push(...slow);
    times.direct.push(...quick);
  }
  const [slow, quick] = [median(times.through), median(times.direct)];
  const what = `Fleet: \`true\` through the hub (${slow.toFixed(2)} ms) more than direct (${quick.toFixed(2)} ms), p50`;
  return [limitRow(what, slow - quick, 'ms', 3)];
}

async function answers(hub: Server, server: string): Promise<void> {
  await eventually(`${server} answers`, async () => {
    try {
      return (await call(hub, 'shell', { server, cmd: 'true' }))['exit_code'] === 0;
    } catch {
      return false;
    }
  });
}

/** A hub whose servers are connected, and nothing happens. They are light ones: the real code of the fleet without commands. */
async function presence(): Promise<Row[]> {
  const names = Array.from({ length: SERVERS }, (_, number) => `web${number + 1}`);
  await using nats = await TestNats.start(...names);
  using hub = await startAgent(nats.hubSettings);
  const alone = rssMib(hub.pid);
  using members = new DisposableStack();
  for (const name of names) members.use(lightMember(nats, name)).start();
  await eventually('all are connected', async () => {
    const { servers } = await call(hub, 'list_servers', {});
    return (servers as { state: string }[]).every(({ state }) => state === 'connected');
  });
  const before = cpuMs(hub.pid);
  await Bun.sleep(IDLE_SECONDS * 1000);
  const percent = (cpuMs(hub.pid) - before) / IDLE_SECONDS / 10;
  return [
    limitRow(`Fleet: the hub with ${SERVERS} idle servers, CPU`, percent, '%', 2),
    limitRow(`the same: RSS of the hub (${alone.toFixed(0)} MiB without servers)`, rssMib(hub.pid), 'MiB', 128),
    limitRow('the same: RSS of nats-server', rssMib(nats.pid), 'MiB', 64),
  ];
}

function lightMember(nats: TestNats, name: string): Member {
  const membership = readMembership(nats.serverSettings(name)['AGENT3_HUB_FILE'] ?? '');
  if (membership === undefined) throw new Error(`${name} has no membership`);
  const nothing = { info: () => {}, warn: () => {} };
  const deps = {
    operations: [],
    shutdown: new OneShotEvent(),
    freeze: new Freeze(undefined, nothing),
    access: { promisedProfile: () => BUILT_IN.readonly },
    hubAccess: new HubAccess(() => 'readonly'),
    hubKeys: () => undefined,
    approvals: { count: 0, subscribe: () => () => {} },
    logger: nothing,
  };
  // It gets no calls, so it needs nothing of what they need.
  return new Member(deps as unknown as MemberDeps, membership, nats.keyOf(name));
}
