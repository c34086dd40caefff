import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_ENVIRONMENT, BINARY, randomToken } from '../../helpers/binary.ts';
import { compiled } from '../../helpers/compiled.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { LogReader } from '../../helpers/logs.ts';

/*
 * The agent gets its token in its environment. A command that was left over runs as the same user, and looks at the next
 * agent from its first moment on: the kernel keeps it off, because the executable cannot be read by that user.
 */

const GAMES = { uid: 5, gid: 60 };
const STARTS = 10;

/** Starts the agent several times as another user, while a spy of that user runs. */
async function spyOnStarts(place: string, executable: string, starts: number): Promise<Seen> {
  const token = randomToken();
  const sessions = join(place, `sessions-${token}`);
  mkdirSync(sessions, { mode: 0o700 });
  chownSync(sessions, GAMES.uid, GAMES.gid);
  const spy = Bun.spawn([join(place, 'spy'), token], {
    ...GAMES,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const warnings: string[] = [];
  for (let start = 0; start < starts; start++) {
    const env = {
      ...BASE_ENVIRONMENT,
      AGENT3_API_TOKEN: token,
      AGENT3_PORT: '0',
      AGENT3_SESSIONS_DIR: sessions,
      AGENT3_AUDIT_KEY: token,
    };
    const child = Bun.spawn([executable, 'serve'], {
      ...GAMES,
      cwd: place,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const log = new LogReader(child.stderr);
    await log.find('listening', ({ msg }) => msg === 'listening');
    warnings.push(...log.lines.map(({ msg }) => String(msg)).filter((msg) => msg.includes('left-over')));
    child.kill('SIGKILL');
    await child.exited;
  }
  spy.kill('SIGTERM');
  const said = (await new Response(spy.stdout).text()).trim().split('\n');
  return { got: [...new Set(said.slice(0, -1))].sort(), seen: Number(said.at(-1)?.split(' ')[1]), warnings };
}

interface Seen {
  readonly got: readonly string[];
  /** How many processes of the agent the spy has come across. */
  readonly seen: number;
  readonly warnings: readonly string[];
}

describe.skipIf(process.geteuid?.() !== 0)('a command that was left over, at the next start of the agent', () => {
  const place = new TemporaryDirectory();
  afterAll(() => place[Symbol.dispose]());
  chmodSync(place.path, 0o755);
  compiled('spy', place.join('spy'));
  const executable = place.join('agent3');
  copyFileSync(BINARY, executable);

  test('reads the token where its user can read the executable, and the log says what to do', async () => {
    chmodSync(executable, 0o755);
    const { got, warnings } = await spyOnStarts(place.path, executable, STARTS);

    expect(got).toContain('environ');
    const repair = `chown root:root ${executable}; chmod 711 ${executable}`;
    expect(warnings).toEqual(Array.from({ length: STARTS }, () => expect.stringContaining(repair)));
  }, 90_000);

  test('gets nothing where it cannot, as it is installed', async () => {
    chmodSync(executable, 0o711);
    const { got, seen, warnings } = await spyOnStarts(place.path, executable, STARTS);
    expect({ got, warnings }).toEqual({ got: [], warnings: [] });
    expect(seen).toBeGreaterThanOrEqual(STARTS);
  }, 90_000);
});
