import { readdirSync } from 'node:fs';
import { limitRow, median, type Row, ratioRow } from '../bar.ts';
import { rssMib, type Server, startAgent, startBareServe, statusField } from '../servers.ts';

const STARTS = 21;
const IDLE_SECONDS = 30;

/** Start of the executable until it answers, and what it costs while nobody asks. */
export async function idle(): Promise<Row[]> {
  const starts: number[] = [];
  for (let count = 0; count < STARTS; count++) {
    const start = performance.now();
    using _agent = await startAgent();
    starts.push(performance.now() - start);
  }
  using agent = await startAgent();
  using bare = await startBareServe();
  const [agentRate, bareRate] = await Promise.all([switchRate(agent), switchRate(bare)]);
  return [
    limitRow('start to the first `healthz` 200, median', median(starts), 'ms', 100),
    limitRow(`idle for ${IDLE_SECONDS} s: RSS`, rssMib(agent.pid), 'MiB', 64),
    ratioRow(
      'the same: context switches of all threads',
      { measured: agentRate, baseline: bareRate, unit: '/s', peer: 'bare Bun.serve' },
      { atMost: 1.2 },
    ),
  ];
}

/** Context switches a second of all threads, over the idle time. */
async function switchRate({ pid }: Server): Promise<number> {
  const before = switches(pid);
  await Bun.sleep(IDLE_SECONDS * 1000);
  return (switches(pid) - before) / IDLE_SECONDS;
}

function switches(pid: number): number {
  let total = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    total += statusField(pid, 'voluntary_ctxt_switches', task) + statusField(pid, 'nonvoluntary_ctxt_switches', task);
  }
  return total;
}
