import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOOK_USER } from '../../../src/lib/look-user.ts';
import { TestCgroup } from '../../helpers/cgroups.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
// Makes the user for reading, where this is root.
import '../../helpers/look-user.ts';
import { limitRow, median, missingRow, type Row, ratioRow } from '../bar.ts';
import { Connection, requestText, timeRequests } from '../client.ts';
import { newDirectory, type Server, startAgent } from '../servers.ts';

const ROUNDS = 30;
const PER_ROUND = 60;
/** The first rounds warm up caches and compilers. */
const WARM_UP = 5;

const KEY = 'a-key-of-the-record-with-40-characters-x';

const RULES = `extends = "full"
[[rules]]
action = "deny"
command = "rm"
flags = ["-r", "-R", "--recursive"]
[[rules]]
action = "confirm"
command = ["systemctl", "shutdown", "reboot"]
[[rules]]
action = "deny"
writes = ["/etc/*", "/dev/*"]
`;

/** What a request is made of. */
type Timed = Pick<Server, 'port' | 'path' | 'body'>;

/** `true` with a cgroup, the audit record and rules, and in a sandbox, each against the same without. */
export async function control(): Promise<Row[]> {
  const directory = newDirectory();
  const profiles = join(directory, 'profiles.d');
  mkdirSync(profiles);
  writeFileSync(join(profiles, 'careful.toml'), RULES);
  writeFileSync(join(profiles, 'looking.toml'), 'extends = "readonly"\nuser = "root"\n');
  const shared = { AGENT3_PROFILES_DIR: profiles };
  const record = { ...shared, AGENT3_AUDIT_FILE: join(directory, 'audit.jsonl'), AGENT3_AUDIT_KEY: KEY };
  using cgroup = TestCgroup.make();
  using free = await startAgent(shared);
  using held = await startAgent({
    ...record,
    AGENT3_PROFILE: 'careful',
    ...(cgroup !== undefined && { AGENT3_CGROUP: cgroup.path }),
  });
  const hasSandbox =
    ensurePrograms('bwrap').length === 0 &&
    Bun.spawnSync(['bwrap', '--ro-bind', '/', '/', 'true'], { stderr: 'ignore' }).exitCode === 0;
  const isRoot = process.geteuid?.() === 0;
  const asItself = isRoot ? 'looking' : 'readonly';
  using sandboxed = hasSandbox ? await startAgent({ ...shared, AGENT3_PROFILE: asItself }) : undefined;
  const hasLookUser = isRoot && Bun.spawnSync(['getent', 'passwd', LOOK_USER], { stdout: 'ignore' }).exitCode === 0;
  using changing = hasSandbox && hasLookUser ? await startAgent({ ...shared, AGENT3_PROFILE: 'readonly' }) : undefined;
  using looked = hasSandbox && (hasLookUser || !isRoot) ? await startAgent(shared) : undefined;
  const looking = looked && {
    port: looked.port,
    path: '/',
    body: JSON.stringify({ op: 'look', args: { cmd: 'true' } }),
  };
  const times = await interleave({
    ...(looking && { looking }),
    free,
    held,
    ...(sandboxed && { sandboxed }),
    ...(changing && { changing }),
  });
  const p50 = (name: string): number => median(times[name] ?? []);
  const what = cgroup === undefined ? 'audit and rules (no cgroup here)' : 'cgroup, audit and rules';
  return [
    ratioRow(
      `\`true\` with ${what}, p50, against all of it off`,
      { measured: p50('held'), baseline: p50('free'), unit: 'ms', peer: 'off' },
      { atMost: 1.35 },
    ),
    sandboxed
      ? limitRow('`true` in `readonly`, p50, more than in `full`', p50('sandboxed') - p50('free'), 'ms', 6.5)
      : missingRow('`true` in `readonly`', 'no bubblewrap'),
    changing
      ? limitRow('the same as another user', p50('changing') - p50('free'), 'ms', 8)
      : missingRow('`true` in `readonly` as another user', 'no bubblewrap, or the bench is not root'),
    looking
      ? limitRow('`true` by `look`, p50, more than by `shell` in `full`', p50('looking') - p50('free'), 'ms', 8)
      : missingRow('`true` by `look`', 'no bubblewrap, or no user for it'),
  ];
}

async function interleave(servers: Readonly<Record<string, Timed>>): Promise<Record<string, number[]>> {
  const connections = new Map<string, Connection>();
  for (const [name, { port }] of Object.entries(servers)) connections.set(name, await Connection.open(port));
  const times: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, server] of Object.entries(servers)) {
      const connection = connections.get(name);
      if (connection === undefined) continue;
      const took = await timeRequests(connection, requestText(server), PER_ROUND);
      if (round >= WARM_UP) times[name] = [...(times[name] ?? []), ...took];
    }
  }
  return times;
}
