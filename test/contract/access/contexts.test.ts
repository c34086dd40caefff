import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const PROFILES = directory.join('profiles.d');
const APPROVALS = directory.join('approvals');
const RECORD = directory.join('audit.log');
const WORK = `/srv/agent3-contexts-${process.pid}`;
const settings = {
  AGENT3_TOKENS_FILE: directory.join('tokens.json'),
  AGENT3_PROFILES_DIR: PROFILES,
  AGENT3_APPROVALS_DIR: APPROVALS,
  AGENT3_AUDIT_FILE: RECORD,
};
const isRoot = process.geteuid?.() === 0;
const put = (name: string, text: string): void => writeFileSync(`${PROFILES}/${name}.toml`, text);
const tokens: Record<string, string> = {};
let agent: Agent;

beforeAll(async () => {
  mkdirSync(PROFILES);
  mkdirSync(APPROVALS, { mode: 0o750 });
  mkdirSync(WORK);
  chmodSync(directory.path, 0o755);
  put('look', 'extends = "readonly"\n');
  put('work', `extends = "workspace"\ndirectory = "${WORK}"\n`);
  put('other', 'extends = "full"\nuser = "nobody"\n');
  put('changing', 'extends = "full"\nuser = "nobody"\n');
  put('ruled', 'extends = "full"\nunreadable = "deny"\n[[rules]]\naction = "deny"\ncommand = "rm"\n');
  put(
    'asked',
    'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "systemctl"\n[[rules]]\naction = "deny"\ncommand = "rm"\n',
  );
  for (const name of ['look', 'work', 'other', 'changing', 'ruled', 'asked'])
    tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
  agent = await startAgent(settings);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
  Bun.spawnSync(['rm', '-rf', WORK]);
});

type Fields = Record<string, unknown>;
const call = async (profile: string, op: string, args: Fields): Promise<Fields> => {
  const headers = { 'x-auth-token': tokens[profile] ?? '' };
  const answer = await fetch(`${agent.url}/`, { method: 'POST', headers, body: JSON.stringify({ op, args }) });
  return (await answer.json()) as Fields;
};
const run = (profile: string, cmd: string, more: Fields = {}): Promise<Fields> =>
  call(profile, 'shell', { cmd, context: 'c', ...more });
const outputOf = async (profile: string, cmd: string, more: Fields = {}): Promise<string> => {
  const { stdout, stderr, message } = await run(profile, cmd, more);
  return `${stdout ?? ''}${stderr ?? ''}${message ?? ''}`;
};

describe.skipIf(!isRoot)('a context of a profile', () => {
  test.each(['look', 'work', 'other'])('%s is kept by its own shell, behind its walls', async (profile) => {
    await outputOf(profile, 'cd /usr; export x="a\nb"; f() { echo "$x"; }; exit 3');
    expect(await outputOf(profile, 'pwd; f; id -un')).toMatch(/^\/usr\na\nb\n(agent3-look|nobody|root)\n$/);
    expect(await outputOf(profile, 'echo "$x"', { context: 'another' })).toBe('\n');
    expect(await outputOf(profile, `ls ${agent.sessionsDir}/.contexts`)).toMatch(/^ls: cannot (?:access|open)/);
  });

  test('belongs to its token: another one with the same name has its own', async () => {
    await outputOf('look', 'mine=1', { context: 'shared' });
    expect(await outputOf('other', 'echo "${mine-none}"', { context: 'shared' })).toBe('none\n');
    const { contexts } = (await call('ruled', 'list_sessions', {})) as { contexts?: unknown };
    expect(contexts).toBeUndefined();
  });

  test('begins empty when its user or its sandbox has changed, and the answer says so', async () => {
    await outputOf('changing', 'x=kept');
    expect(await outputOf('changing', 'echo "$x"')).toBe('kept\n');
    put('changing', 'extends = "readonly"\n');
    await eventually('the profile is another', async () =>
      /^agent3-look/.test(await outputOf('changing', 'id -un', { context: 'probe' })),
    );
    expect(await outputOf('changing', 'echo "${x-none}"')).toMatch(
      /^none\nThe context c was dropped and begins empty: the user or the sandbox of this token has changed\.$/,
    );
  });

  test('takes nothing but what its shell may say: a forged state runs no code outside of it', async () => {
    const state = String.raw`[\0d/usr\0o\0vdeclare -- x="$(touch ${WORK}/forged)"\0vdeclare -a a=([b[\$(touch ${WORK}/forged)]]="1")\0vdeclare -- ok="1"\0f; touch ${WORK}/forged\0a alias x=y\0]\0`;
    const forge = `for fd in /proc/$$/fd/*; do case $(readlink $fd) in */context) printf '[\\0]\\0${state}' > $fd; esac; done`;
    await outputOf('work', `${forge}; exec true`, { context: 'forged' });
    expect(await outputOf('work', 'echo "${ok-none}${x-none}"', { context: 'forged' })).toMatch(/^(1none|nonenone)\n$/);
    expect(existsSync(`${WORK}/forged`)).toBe(false);
  });
});

describe('rules', () => {
  test('do not read a command that calls a name which its context defines', async () => {
    const makes = (text: string, context: string): Promise<string> =>
      outputOf('ruled', 'eval "$SETUP"', { context, env: { SETUP: text } });
    // This profile lets no eval of unknown text pass: the context comes from another one with the same token.
    put('ruled', 'extends = "full"\n');
    await eventually(
      'rules are off',
      async () => (await makes('systemctl() { command rm -rf "$@"; }; ls() { :; }', 'f')) === '',
    );
    await makes('shopt -s expand_aliases; alias uptime="rm -rf"', 'a');
    await makes(`PATH=${WORK}:$PATH`, 'p');
    await makes('declare -l lower=X', 'l');
    await makes('command_not_found_handle() { rm "$@"; }', 'n');
    await makes('plain=1; list=(a b); set -o pipefail; cd /usr', 'ok');
    put('ruled', 'extends = "full"\nunreadable = "deny"\n[[rules]]\naction = "deny"\ncommand = "rm"\n');
    const denied = async (cmd: string, context: string): Promise<unknown> =>
      (await run('ruled', cmd, { context }))['stderr'];
    await eventually('rules are on', async () => (await run('ruled', 'rm x'))['status'] === 'denied');
    expect(await denied('systemctl status ssh', 'f')).toBe('agent3: not run: its context defines systemctl\n');
    expect(await denied('true && (systemctl stop ssh)', 'f')).toContain('its context defines systemctl');
    expect(await denied('date', 'f')).toBe('');
    expect(await denied('uptime', 'a')).toContain('its context defines uptime');
    expect(await denied('date', 'p')).toBe(
      'agent3: not run: the variable PATH of its context changes what commands mean\n',
    );
    expect(await denied('date', 'l')).toContain('the variable lower of its context changes what is assigned to it');
    expect(await denied('date', 'n')).toContain('its context defines command_not_found_handle');
    expect(await run('ruled', 'pwd; echo $plain', { context: 'ok' })).toMatchObject({ stdout: '/usr\n1\n' });
    expect(await run('ruled', 'rm x', { context: 'ok' })).toMatchObject({ status: 'denied' });
  });
});

describe.skipIf(!isRoot)('a person who approves', () => {
  test('is shown all that a context brings, and its digest is in that of the request', async () => {
    put('asked', 'extends = "full"\n');
    const setup =
      'systemctl() { command systemctl "$@" --now; }; export API_TOKEN=ghp_0123456789abcdefghijklmnopqrstuvwxyz; set -o noglob; cd /usr';
    await eventually('it is set', async () => (await run('asked', setup))['status'] === 'done');
    put('asked', 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "echo"\n');
    await eventually('rules are on', async () => {
      const { status, session } = await run('asked', 'echo probe', { context: 'probe' });
      await call('asked', 'kill_session', { session });
      return status === 'waiting';
    });
    const asked = await run('asked', 'echo $API_TOKEN');
    expect(asked).toMatchObject({ status: 'waiting' });
    const id = String(asked['session']);
    const approval = (...args: string[]) =>
      agent3(['approval', ...args], { ...settings, AGENT3_SESSIONS_DIR: agent.sessionsDir });
    const { stdout: shown } = await approval('show', id);
    for (const text of [
      'in the context c, whose shell runs this first',
      'systemctl ()',
      'command systemctl "$@" --now',
      'declare -x API_TOKEN="ghp_0123',
      'set -o noglob',
    ])
      expect(shown).toContain(text);
    const request = JSON.parse(readFileSync(`${agent.sessionsDir}/.approvals/${id}.json`, 'utf8'));
    expect(request.context).toMatchObject({ name: 'c', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    // Meanwhile nobody changes it.
    expect(await call('asked', 'close_session', { context: 'c' })).toMatchObject({ error: 'Invalid args' });
    await approval('approve', id, '--digest', /digest ([0-9a-f]{64})/.exec(shown)?.[1] ?? '');
    await eventually(
      'it has run',
      async () => (await call('asked', 'read_session', { session: id }))['status'] === 'done',
    );
    expect(await call('asked', 'read_session', { session: id })).toMatchObject({
      stdout: expect.stringMatching(/^ghp_/),
    });
  });

  test('and the record has it, without secrets', async () => {
    const lines = linesOf(RECORD).filter(({ event, context }) => event === 'start' && context === 'c');
    const brings = lines.map((line) => String(line['context_brings'] ?? '')).find((text) => text.includes('API_TOKEN'));
    expect(brings).toContain('systemctl () ');
    expect(readFileSync(RECORD, 'utf8')).not.toContain('declare -x API_TOKEN=\\"ghp_0123');
    expect(lines.every((line) => /^[0-9a-f]{64}$/.test(String(line['context_sha256'])))).toBe(true);
    expect(readdirSync(`${agent.sessionsDir}/.contexts`).length).toBeGreaterThan(0);
  });
});

describe.skipIf(!isRoot)('a context of an agent with a user of its own', () => {
  test('is kept by shells in sandboxes, with limits and without', async () => {
    const uid = 1;
    using place = new TemporaryDirectory();
    const work = `/srv/agent3-contexts-own-${process.pid}`;
    const own = { AGENT3_TOKENS_FILE: place.join('tokens.json'), AGENT3_PROFILES_DIR: place.join('profiles.d') };
    mkdirSync(own.AGENT3_PROFILES_DIR);
    mkdirSync(work);
    chmodSync(place.path, 0o755);
    const profiles = {
      look: 'extends = "readonly"\n',
      work: `extends = "workspace"\ndirectory = "${work}"\n`,
      small: 'extends = "full"\n[limits]\nfile_mib = 1\n',
      all: 'extends = "full"\n',
    };
    const names: Record<string, string> = {};
    for (const [name, text] of Object.entries(profiles)) {
      writeFileSync(`${own.AGENT3_PROFILES_DIR}/${name}.toml`, text);
      names[name] = (await agent3(['token', 'create', name, '--profile', name], own)).stdout.trim();
    }
    Bun.spawnSync(['chown', '-R', `${uid}:${uid}`, place.path, work]);
    const become = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
    await using unprivileged = await startAgent(own, ['sh', '-c', become, String(uid)]);
    for (const name of Object.keys(profiles)) {
      const ask = async (cmd: string): Promise<string> => {
        const reply = await unprivileged.request('/shell', {
          method: 'POST',
          headers: { 'x-auth-token': names[name] ?? '' },
          body: JSON.stringify({ cmd, context: 'c' }),
        });
        return `${name}: ${reply.body.stdout}${reply.body.stderr ?? ''}${reply.body.message ?? ''}`;
      };
      expect(await ask('cd /usr; x="a b"; f() { echo "$x $1"; exit 3; }; trap "echo bye" EXIT')).toBe(`${name}: bye\n`);
      expect(await ask('pwd; id -un; f c')).toBe(`${name}: /usr\ndaemon\na b c\n`);
    }
    Bun.spawnSync(['rm', '-rf', work]);
  });
});
