import { readdirSync } from 'node:fs';
import { limitRow, median, type Row, ratioRow } from '../bar.ts';
import { rssMib, type Server, startAgent, startBareServe, statusField } from '../servers.ts';

const STARTS = 21;
const IDLE_SECONDS = 30;
const IDLE_PAIRS = 5;

/** Start of the executable until it answers, and what it costs while nobody asks. */
export async function idle(): Promise<Row[]> {
  const starts: number[] = [];
  for (let count = 0; count < STARTS; count++) {
    const start = performance.now();
    using _agent = await startAgent();
    starts.push(performance.now() - start);
  }
  using servers = new DisposableStack();
  const agents: Server[] = [];
  const bare: Server[] = [];
  for (let count = 0; count < IDLE_PAIRS; count++) {
    agents.push(servers.use(await startAgent()));
    bare.push(servers.use(await startBareServe()));
  }
  const [agentRates, bareRates] = await Promise.all([switchRates(agents), switchRates(bare)]);
  return [
    limitRow('start to the first `healthz` 200, median', median(starts), 'ms', 100),
    limitRow(`idle for ${IDLE_SECONDS} s: RSS`, median(agents.map(({ pid }) => rssMib(pid))), 'MiB', 64),
    ratioRow(
      'the same: context switches of all threads',
      { measured: median(agentRates), baseline: median(bareRates), unit: '/s', peer: 'bare Bun.serve' },
      { atMost: 1.2 },
    ),
  ];
}

/** Context switches a second of all threads of each server, over the idle time. */
async function switchRates(servers: readonly Server[]): Promise<number[]> {
  const before = servers.map(({ pid }) => switches(pid));
  await Bun.sleep(IDLE_SECONDS * 1000);
  return servers.map(({ pid }, index) => (switches(pid) - (before[index] ?? 0)) / IDLE_SECONDS);
}

function switches(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    total += statusField(pid, 'voluntary_ctxt_switches', task) + statusField(pid, 'nonvoluntary_ctxt_switches', task);
  }
  return total;
}
