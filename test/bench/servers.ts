import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dir, '../..');
const PEERS = join(import.meta.dir, 'peers');
export const EXECUTABLE = join(ROOT, 'dist/agent3');
/** Another build of the agent to measure this one against, where there is one. */
export const EARLIER = Bun.env['AGENT3_BENCH_EARLIER'];
export const TOKEN = 'a-token-for-the-bench-alone';

/** A server under measurement, with what a request to it needs. */
export interface Server extends Disposable {
  readonly port: number;
  readonly pid: number;
  /** Path and body that run `true`. */
  readonly path: string;
  readonly body: string;
}

/**
 * A directory that is gone when the bench ends. Not on tmpfs: the agent is measured on a disk, as it will run. As root it
 * is a new ext4 file system of its own, on a file: ext4 does not hand out again an inode that was freed in the last
 * minutes, and seeks around the thousands that an earlier bench left, at 100 µs and more a file.
 */
const parent = join(existsSync('/var/tmp') ? '/var/tmp' : tmpdir(), 'agent3-bench');
mkdirSync(parent, { recursive: true });
export const work = mkdtempSync(join(parent, 'run-'));
/** On the disk itself, for what is written by the gigabyte: the file of the other one would be written twice. */
const plain = mkdtempSync(join(parent, 'plain-'));
const image = `${work}.ext4`;
const mounted =
  succeeds('truncate', '-s', '4G', image) && succeeds('mkfs.ext4', '-qF', image) && succeeds('mount', image, work);
process.on('exit', () => {
  // Lazily: a server that was killed just now may still hold a file.
  if (mounted) succeeds('umount', '--lazy', work);
  for (const path of [image, work, plain]) rmSync(path, { recursive: true, force: true });
});

function succeeds(...argv: string[]): boolean {
  const path = '/usr/sbin:/usr/bin:/sbin:/bin';
  try {
    return Bun.spawnSync(argv, { env: { PATH: path }, stdio: ['ignore', 'ignore', 'ignore'] }).exitCode === 0;
  } catch {
    return false;
  }
}

let made = 0;
export function newDirectory(kind: 'own' | 'plain' = 'own'): string {
  const directory = join(kind === 'own' ? work : plain, String(made++));
  mkdirSync(directory);
  return directory;
}

/** Builds the executable where it is missing. */
export function ensureExecutable(): void {
  if (existsSync(EXECUTABLE)) return;
  const { exitCode } = Bun.spawnSync([process.execPath, 'run', 'build'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (exitCode !== 0) throw new Error('the executable could not be built');
}

/** Starts an agent, `dist/agent3`, with /bin/sh as its shell and resolves when it answers. */
export async function startAgent(
  settings: Readonly<Record<string, string>> = {},
  directory: string = newDirectory(),
  executable: string = EXECUTABLE,
): Promise<Server> {
  const port = freePort();
  const child = Bun.spawn([executable, 'serve'], {
    cwd: directory,
    env: {
      AGENT3_API_TOKEN: TOKEN,
      AGENT3_PORT: String(port),
      AGENT3_SESSIONS_DIR: join(directory, 'sessions'),
      AGENT3_SHELL: '/bin/sh',
      AGENT3_MAX_REQUESTS_PER_MINUTE: '100000000',
      ...settings,
    },
    stdio: ['ignore', 'ignore', Bun.file(join(directory, 'log'))],
  });
  return ready(child, { port, path: '/', body: callBody('shell', { cmd: 'true' }) }, '/healthz');
}

/** A token of the profile `full` in the file `tokens`. */
export async function createToken(tokens: string): Promise<string> {
  const env = { AGENT3_TOKENS_FILE: tokens };
  const child = Bun.spawn([EXECUTABLE, 'token', 'create', 'other', '--profile', 'full'], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return (await new Response(child.stdout).text()).trim();
}

export function callBody(op: string, args: unknown): string {
  return JSON.stringify({ op, args });
}

/** Debian's webhook with one hook that runs `/bin/sh -c true` and answers with its output. */
export async function startWebhook(): Promise<Server> {
  const port = freePort();
  const hooks = join(newDirectory(), 'hooks.json');
  const hook = {
    id: 'true',
    'execute-command': '/bin/sh',
    'pass-arguments-to-command': [
      { source: 'string', name: '-c' },
      { source: 'string', name: 'true' },
    ],
    'include-command-output-in-response': true,
  };
  writeFileSync(hooks, JSON.stringify([hook]));
  const child = Bun.spawn(['webhook', '-hooks', hooks, '-ip', '127.0.0.1', '-port', String(port)], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  return ready(child, { port, path: '/hooks/true', body: '{}' }, '/');
}

/** The Flask agent in the folder of the peers. */
export async function startFlask(): Promise<Server> {
  const port = freePort();
  const directory = newDirectory();
  const child = Bun.spawn(['/usr/bin/python3', join(PEERS, 'flask_agent.py')], {
    env: { PATH: '/usr/bin:/bin', PORT: String(port), API_TOKEN: TOKEN, SESSIONS_DIR: directory },
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  return ready(child, { port, path: '/', body: callBody('shell', { cmd: 'true' }) }, '/healthz');
}

/** A bare `Bun.serve`, for what an idle one costs. */
export async function startBareServe(): Promise<Server> {
  const child = Bun.spawn([process.execPath, join(PEERS, 'bare-serve.ts')], { stdio: ['ignore', 'pipe', 'ignore'] });
  const { value } = await child.stdout.getReader().read();
  return ready(child, { port: Number(new TextDecoder().decode(value)), path: '/', body: '' }, '/');
}

const READY_MS = 10_000;

async function ready(
  child: Bun.Subprocess,
  call: { port: number; path: string; body: string },
  probe: string,
): Promise<Server> {
  const deadline = performance.now() + READY_MS;
  while (!(await answers(call.port, probe))) {
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`a server did not start: ${child.pid}`);
    await Bun.sleep(1);
  }
  return {
    ...call,
    pid: child.pid,
    [Symbol.dispose]: () => child.kill('SIGKILL'),
  };
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

/** A number of /proc/<pid>/status, such as VmRSS in kB. */
export function statusField(pid: number, field: string, task?: string): number {
  const path = task === undefined ? `/proc/${pid}/status` : `/proc/${pid}/task/${task}/status`;
  return Number(new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))?.[1] ?? Number.NaN);
}

/** Resident memory in MiB. */
export function rssMib(pid: number): number {
  return statusField(pid, 'VmRSS') / 1024;
}

/** CPU time of the process itself, without its children, in milliseconds. Linux counts in ticks of 10 ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
