import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limitRow, median, missingRow, type Row, ratioRow } from '../bar.ts';
import { call } from '../client.ts';
import { EXECUTABLE, newDirectory, rssMib, type Server, startAgent, TOKEN } from '../servers.ts';
import { startSshd } from '../sshd.ts';

const GIB = 2 ** 30;
const ROUNDS = 3;

/** A file of 1 GiB by `agent3 cp` and by scp, both over loopback; one of 2 GiB by links, and what that takes of memory. */
export async function transfer(): Promise<Row[]> {
  const directory = newDirectory('plain');
  using agent = await startAgent({}, directory);
  return [...(await copies(agent, directory)), ...(await memory(agent, directory))];
}

async function copies(agent: Server, directory: string): Promise<Row[]> {
  const bars = ['`agent3 cp` of 1 GiB to the agent, with SHA-256', 'the same back'] as const;
  const sshd = await startSshd(newDirectory('plain'));
  if (typeof sshd === 'string') return bars.map((bar) => missingRow(bar, sshd));
  const [from, to] = [join(directory, 'from'), join(directory, 'to')];
  // Random: compression or holes would help one of the two.
  await timed(['/bin/sh', '-c', `head -c ${GIB} /dev/urandom > ${from}`]);
  const options = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'];
  const scp = ['scp', '-q', '-P', String(sshd.port), '-i', sshd.key, ...options];
  const cp = [EXECUTABLE, 'cp'];
  const env = { AGENT3_URL: `http://127.0.0.1:${agent.port}`, AGENT3_API_TOKEN: TOKEN };
  const ways = [
    { own: [...cp, from, `:${to}`], peer: [...scp, from, `root@127.0.0.1:${to}`] },
    { own: [...cp, `:${from}`, to], peer: [...scp, `root@127.0.0.1:${from}`, to] },
  ];
  const rows: Row[] = [];
  for (const [index, { own, peer }] of ways.entries()) {
    const times = { own: [] as number[], peer: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      times.peer.push(await timed(peer, env, to));
      times.own.push(await timed(own, env, to));
    }
    const figures = { measured: median(times.own), baseline: median(times.peer), unit: 's', peer: 'scp' };
    rows.push(ratioRow(bars[index] ?? '', figures, { atMost: 2 }));
  }
  rmSync(from);
  return rows;
}

/** Seconds that a program takes; `made` is a file of its that is removed then. */
async function timed(argv: string[], env: Record<string, string> = {}, made?: string): Promise<number> {
  Bun.spawnSync(['sync']);
  const start = performance.now();
  const child = Bun.spawn(argv, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  if ((await child.exited) !== 0) throw new Error(`${argv.join(' ')} failed`);
  const seconds = (performance.now() - start) / 1000;
  if (made !== undefined) rmSync(made);
  return seconds;
}

async function memory(agent: Server, directory: string): Promise<Row[]> {
  const [from, to] = [join(directory, 'large'), join(directory, 'copy')];
  writeFileSync(from, '');
  truncateSync(from, 2 * GIB);
  // What the first file takes for good is not counted.
  await call(agent, 'shell', { cmd: 'true' });
  await upload(agent, join(directory, 'log'), to);
  await download(agent, to);
  const up = await growth(agent, () => upload(agent, from, to));
  const down = await growth(agent, () => download(agent, to));
  for (const path of [from, to]) rmSync(path);
  return [
    limitRow('2 GiB by a link of `upload`: growth of the agent’s RSS', up, 'MiB', 32),
    limitRow('2 GiB by a link of `download`: growth of the agent’s RSS', down, 'MiB', 32),
  ];
}

async function upload(agent: Server, from: string, to: string): Promise<void> {
  const { url } = await call(agent, 'upload', { path: to });
  await timed(['curl', '-sf', '-o', '/dev/null', '-T', from, String(url)]);
}

async function download(agent: Server, path: string): Promise<void> {
  const { url } = await call(agent, 'download', { path });
  await timed(['curl', '-sf', '-o', '/dev/null', String(url)]);
}

async function growth({ pid }: Server, work: () => Promise<void>): Promise<number> {
  const before = rssMib(pid);
  let highest = before;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMib(pid));
  }, 20);
  await work();
  clearInterval(sampler);
  return highest - before;
}
