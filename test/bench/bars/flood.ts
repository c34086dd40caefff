import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { limitRow, median, type Row, ratioRow } from '../bar.ts';
import { Connection, call, requestText, timeRequests } from '../client.ts';
import { callBody, cpuMs, newDirectory, rssMib, type Server, startAgent } from '../servers.ts';

const ROUNDS = 5;
const GIGABYTE = 'head -c 1G /dev/zero';
const FAR_OFFSET = 1_000_000_000;
const READS = 60;

/** A command that writes 1 GiB, and reading in what it wrote. */
export async function flood(): Promise<Row[]> {
  using agent = await startAgent({}, newDirectory('plain'));
  const measured = await measureFlood(agent);
  return [
    ratioRow(
      '`head -c 1G /dev/zero`, wall',
      { measured: median(measured.agentMs), baseline: median(measured.shellMs), unit: 'ms', peer: '`sh -c … > file`' },
      { atMost: 1.15 },
    ),
    limitRow('the same: growth of the agent’s RSS', measured.growthMib, 'MiB', 16),
    limitRow('the same: CPU of the agent for one', median(measured.cpuMs), 'ms', 50),
    await farRead(agent),
  ];
}

async function measureFlood(agent: Server) {
  const agentMs: number[] = [];
  const shellMs: number[] = [];
  const cpu: number[] = [];
  await call(agent, 'shell', { cmd: 'true' });
  const before = rssMib(agent.pid);
  let highest = before;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMib(agent.pid));
  }, 20);
  for (let round = 0; round < ROUNDS; round++) {
    shellMs.push(await toFile());
    settle();
    const cpuBefore = cpuMs(agent.pid);
    const start = performance.now();
    const { session, stdout_bytes } = await call(agent, 'shell', { cmd: GIGABYTE, max_output: 256 });
    agentMs.push(performance.now() - start);
    cpu.push(cpuMs(agent.pid) - cpuBefore);
    if (stdout_bytes !== 2 ** 30) throw new Error(`the session holds ${stdout_bytes} bytes`);
    await call(agent, 'close_session', { session });
    settle();
  }
  clearInterval(sampler);
  return { agentMs, shellMs, cpuMs: cpu, growthMib: Math.max(0, highest - before) };
}

async function toFile(): Promise<number> {
  const file = join(newDirectory('plain'), 'output');
  const start = performance.now();
  await Bun.spawn(['/bin/sh', '-c', `${GIGABYTE} > ${file}`]).exited;
  const took = performance.now() - start;
  rmSync(file);
  return took;
}

/** Both sides start with nothing left to be written back. */
function settle(): void {
  Bun.spawnSync(['sync']);
}

async function farRead(agent: Server): Promise<Row> {
  const { session } = await call(agent, 'shell', { cmd: GIGABYTE, max_output: 256 });
  using connection = await Connection.open(agent.port);
  const read = (offset: number): Promise<number[]> =>
    timeRequests(connection, requestText(agent, callBody('read_session', { session, offset, limit: 92_160 })), 1);
  const near: number[] = [];
  const far: number[] = [];
  for (let count = 0; count < READS; count++) {
    near.push(...(await read(0)));
    far.push(...(await read(FAR_OFFSET)));
  }
  await call(agent, 'close_session', { session });
  return ratioRow(
    '`read_session` of 90 KB at offset 1,000,000,000, p50',
    { measured: median(far), baseline: median(near), unit: 'ms', peer: 'at offset 0' },
    { atMost: 2 },
  );
}
