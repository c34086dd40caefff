import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { sessionsTabbed, sessionsTable } from '../../../src/cli/session.ts';
import type { ListedSession } from '../../../src/client/sessions.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** Clears a line, forges one, turns the direction, and begins a sequence in one byte. */
const HOSTILE = '\u001b[2K\r\nforged \u202e\u009b31m\u200b';
const ACTS = /(?![\n ])[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

const SESSION = '01a20ced-f233-708f-aab3-e27ba964e561';
const request = {
  session: SESSION,
  token: `token${HOSTILE}`,
  address: `address${HOSTILE}`,
  profile: `profile${HOSTILE}`,
  user: `user${HOSTILE}`,
  cmd: `cmd${HOSTILE}`,
  cwd: `/cwd${HOSTILE}`,
  env: { [`NAME${HOSTILE}`]: `value${HOSTILE}` },
  stdin: `stdin${HOSTILE}`,
  input: 'closed',
  limit_seconds: 1,
  reason: `reason${HOSTILE}`,
  part: `part${HOSTILE}`,
  asked_at: Date.now(),
  expires_at: Date.now() + 600_000,
};
const settings = { AGENT3_SESSIONS_DIR: directory.path, AGENT3_APPROVALS_DIR: directory.path };
mkdirSync(directory.join('.approvals'));
writeFileSync(directory.join(`.approvals/${SESSION}.json`), JSON.stringify(request));

/** What is shown on a terminal until it holds `text`. */
async function shownOnTerminal(args: readonly string[], text: string): Promise<string> {
  let shown = '';
  const child = Bun.spawn([BINARY, ...args], {
    env: { ...BASE_ENVIRONMENT, ...settings },
    terminal: {
      cols: 200,
      data: (_, bytes) => {
        shown += Buffer.from(bytes).toString();
      },
    },
  });
  await eventually(`${text} is shown`, () => shown.includes(text));
  child.kill();
  await child.exited;
  return shown.replaceAll('\r\n', '\n');
}

describe('a request for approval that was tampered with', () => {
  test('acts on no terminal, and forges no line, whatever field it is in', async () => {
    const { stdout } = await agent3(['approval', 'list'], settings);
    expect(stdout).not.toMatch(ACTS);
    // Each line of a command, its variables and its input starts with a bar.
    expect(stdout).not.toMatch(/^\s*forged/m);
    expect(stdout.match(/^ {2}\d │ forged /gm)).toHaveLength(4);
    for (const field of ['token', 'address', 'profile', 'user', '/cwd', 'reason']) {
      expect(stdout.replaceAll('\n    ┆ ', '')).toContain(
        `${field}\\u{1b}[2K\\u{d}\\u{a}forged \\u{202e}\\u{9b}31m\\u{200b}`,
      );
    }
  });

  test('nor with watch', async () => {
    const shown = await shownOnTerminal(['approval', 'watch'], 'stdin');
    expect(shown.replace('\u0007', '')).not.toMatch(ACTS);
  });

  test('nor as JSON, which says the same', async () => {
    const { stdout } = await agent3(['approval', 'list', '--json'], settings);
    expect(stdout).not.toMatch(ACTS);
    expect(JSON.parse(stdout)).toEqual([expect.objectContaining(request)]);
  });
});

describe('the record', () => {
  const file = directory.join('audit.jsonl');
  const line = {
    seq: 1,
    time: `2026${HOSTILE}`,
    event: `start${HOSTILE}`,
    prev: HOSTILE,
    token: HOSTILE,
    cmd: HOSTILE,
  };
  // The second line is not JSON: what is not understood is shown as it is, without what acts.
  writeFileSync(
    file,
    `${JSON.stringify(line)}\n{ ${HOSTILE.replace('\n', '')}\n${JSON.stringify({ ...line, event: 'end', cmd: 'last' })}\n`,
  );

  test.each([
    ['tail', []],
    ['tail', ['--json']],
    ['grep', []],
  ])('is shown by audit %s %j on a terminal without what acts on it', async (subcommand, options) => {
    const shown = await shownOnTerminal(['audit', subcommand, ...options, '--file', file], 'end');
    expect(shown).toContain('\\u{1b}[2K');
    expect(shown).not.toMatch(ACTS);
    expect(shown).not.toMatch(/^forged/m);
  });

  test.each(['tail', 'grep'])(
    'says the same in a pipe, by audit %s, without what acts at its end',
    async (subcommand) => {
      const { stdout } = await agent3(['audit', subcommand, '--file', file]);
      expect(stdout).not.toMatch(ACTS);
      const [first = '', second, third = ''] = stdout.trimEnd().split('\n');
      expect(JSON.parse(first)).toEqual(line);
      expect(second).toContain('forged \\u{202e}');
      expect(JSON.parse(third)).toEqual({ ...line, event: 'end', cmd: 'last' });
    },
  );
});

test('sessions of an agent that cannot be trusted are shown without what acts on a terminal', () => {
  const session: ListedSession = {
    session: HOSTILE,
    status: HOSTILE,
    cmd: HOSTILE,
    started_at: HOSTILE,
    duration_ms: 1,
    exit_code: 0,
    stdout_bytes: 1,
    stderr_bytes: 1,
  };
  const tabbed = sessionsTabbed([session]);
  const table = sessionsTable([session], { columns: 200, hasColours: false, nowMs: 0 });
  for (const text of [tabbed.replaceAll('\t', ' '), table]) {
    expect(text).not.toMatch(ACTS);
    expect(text).not.toMatch(/^forged/m);
  }
});
