import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ensurePrograms } from '../../helpers/debian.ts';
import { limitRow, median, missingRow, type Row } from '../bar.ts';
import { Connection, requestText } from '../client.ts';
import { newDirectory, type Server, startAgent } from '../servers.ts';

const ROUNDS = 25;
const PER_ROUND = 20;
/** The first rounds warm up caches and compilers. */
const WARM_UP = 5;

const SIZE = 65_536;

/** `read_file` and `edit_file` of 64 KiB by the agent itself, and in a workspace, compared with `true` there. */
export async function files(): Promise<Row[]> {
  // A sandbox has a /tmp of its own.
  const work = mkdtempSync(join(process.geteuid?.() === 0 ? '/srv' : homedir(), 'agent3-bench-'));
  chmodSync(work, 0o755);
  const path = join(work, 'file');
  const profiles = join(newDirectory(), 'profiles.d');
  mkdirSync(profiles);
  writeFileSync(join(profiles, 'work.toml'), `extends = "workspace"\ndirectory = "${work}"\nmask = false\n`);
  try {
    using free = await startAgent();
    const hasSandbox =
      ensurePrograms('bwrap').length === 0 &&
      Bun.spawnSync(['bwrap', '--ro-bind', '/', '/', 'true'], { stderr: 'ignore' }).exitCode === 0;
    using boxed = hasSandbox ? await startAgent({ AGENT3_PROFILES_DIR: profiles, AGENT3_PROFILE: 'work' }) : undefined;
    const [direct, sandboxed] = [await timesOf(free, path), boxed && (await timesOf(boxed, path))];
    const rows = [
      limitRow('`read_file` of 64 KiB in `full`, p50', direct.read, 'ms', 3),
      limitRow('`edit_file` in `full`, p50', direct.edit, 'ms', 5),
    ];
    if (sandboxed === undefined) return [...rows, missingRow('`read_file` in a workspace', 'no bubblewrap')];
    return [
      ...rows,
      limitRow(
        '`read_file` of 64 KiB in a workspace, p50, more than `true` there',
        sandboxed.read - sandboxed.true,
        'ms',
        3,
      ),
      limitRow('`edit_file` in a workspace, p50, more than `true` there', sandboxed.edit - sandboxed.true, 'ms', 3),
    ];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The medians of `true`, `read_file` and `edit_file`, in milliseconds, each in turn. */
async function timesOf(server: Server, path: string): Promise<Record<'true' | 'read' | 'edit', number>> {
  writeFileSync(path, `${'some text of a line\n'.repeat(SIZE / 20)}state: 0\n`.slice(-SIZE));
  using connection = await Connection.open(server.port);
  const times = { true: [] as number[], read: [] as number[], edit: [] as number[] };
  const send = async (name: keyof typeof times, op: string, args: object, isCounted: boolean): Promise<void> => {
    const request = requestText(server, JSON.stringify({ op, args }));
    const startMs = performance.now();
    const body = await connection.send(request);
    const tookMs = performance.now() - startMs;
    if (body.startsWith('{"error"')) throw new Error(`${op}: ${body}`);
    if (isCounted) times[name].push(tookMs);
  };
  let state = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (let count = 0; count < PER_ROUND; count++) {
      const isCounted = round >= WARM_UP;
      await send('true', 'shell', { cmd: 'true' }, isCounted);
      await send('read', 'read_file', { path }, isCounted);
      const edits = [{ old: `state: ${state}\n`, new: `state: ${state + 1}\n` }];
      await send('edit', 'edit_file', { path, edits }, isCounted);
      state++;
    }
  }
  return { true: median(times.true), read: median(times.read), edit: median(times.edit) };
}
