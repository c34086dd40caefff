import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { expectRefusal } from '../../helpers/refusals.ts';
import { eventually } from '../../helpers/waiting.ts';

const directory = new TemporaryDirectory();
const TOKENS = directory.join('tokens.json');
const PROFILES = directory.join('profiles.d');
mkdirSync(PROFILES);
const put = (file: string, text: string): void => writeFileSync(`${PROFILES}/${file}`, text);
put('reader.toml', 'extends = "full"\noperations = ["read_session", "list_sessions", "server_info"]\n');
put(
  'brief.json',
  JSON.stringify({ extends: 'full', limits: { exec_seconds: 2, background_seconds: 0, file_mib: 1, core_mib: 0 } }),
);
put('discreet.toml', 'extends = "full"\nmask = true\n');
put('lone.toml', 'extends = "full"\noperations = ["shell"]\n');
put('worker.toml', 'extends = "full"\nuser = "nobody"\n');

const settings = { AGENT3_TOKENS_FILE: TOKENS, AGENT3_PROFILES_DIR: PROFILES };
put('fleeting.toml', 'extends = "full"');
const tokens: Record<string, string> = {};
for (const name of ['reader', 'brief', 'worker', 'fleeting', 'discreet', 'lone']) {
  const { stdout } = await agent3(['token', 'create', name, '--profile', name], settings);
  tokens[name] = stdout.trim();
}
const agent = await startAgent(settings);
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Sends one operation with the token of a profile's name. */
const call = (profile: string, op: string, args: unknown = {}): Promise<Response> =>
  fetch(`${agent.url}/`, {
    method: 'POST',
    headers: { 'x-auth-token': tokens[profile] ?? '' },
    body: JSON.stringify({ op, args }),
  });
const answerOf = async (profile: string, op: string, args: unknown = {}): Promise<Record<string, unknown>> =>
  (await (await call(profile, op, args)).json()) as Record<string, unknown>;

describe('a profile', () => {
  test('allows the operations that it names, through every door', async () => {
    expect(await answerOf('reader', 'list_sessions')).toMatchObject({ sessions: [] });
    const refusal = {
      error: 'Forbidden',
      message:
        'The profile reader of this token does not allow shell; it allows read_session, list_sessions, server_info.',
    };
    const refused = await call('reader', 'shell', { cmd: 'true' });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toEqual(refusal);
    const flat = await fetch(`${agent.url}/shell`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens['reader'] ?? '' },
      body: '{"cmd":"true"}',
    });
    expect(await flat.json()).toEqual(refusal);
  });

  test('is named where an answer advises an operation that it does not allow', async () => {
    const refused = 'The profile of this token does not allow read_session';
    const answers = [
      await answerOf('lone', 'shell', { cmd: 'yes | head -c 300000' }),
      await answerOf('lone', 'shell', { cmd: 'sleep 0.5', background: true }),
    ];
    for (const answer of answers) {
      expect(answer['message']).toContain('read_session');
      expect(answer['message']).toContain(refused);
      expect(JSON.stringify(answer).length).toBeLessThan(100_000);
    }
    expect(await answerOf('lone', 'shell', { cmd: 'true' })).not.toHaveProperty('message');
    expect(JSON.stringify(await answerOf('brief', 'shell', { cmd: 'yes | head -c 300000' }))).not.toContain(refused);
  });

  test('masks secrets in every answer, and keeps the bytes', async () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${'QUJD'.repeat(2000)}\n-----END PRIVATE KEY-----`;
    const cmd = `echo 'password=hunter22'; echo ${agent.token} ${tokens['reader']}; cat; echo 'token: hunter22' >&2`;
    const answer = await answerOf('discreet', 'shell', { cmd, stdin: key });
    expect(answer).toMatchObject({
      stdout: 'password=‹password›\n‹token› ‹token›\n‹private key›',
      stderr: 'token: ‹password›\n',
      message: expect.stringContaining('What looks like a secret is masked in this answer'),
    });
    const { session } = answer;
    // A slice that begins in the middle of a secret shows nothing of it.
    for (const offset of [0, 3, 12, 14, 30, 2000]) {
      for (const encoding of ['utf8', 'base64']) {
        const slice = await answerOf('discreet', 'read_session', { session, offset, limit: 40, encoding });
        const text = String(slice['stdout']);
        const shown = encoding === 'utf8' ? text : Buffer.from(text, 'base64').toString();
        expect(shown).toContain('‹');
        expect(shown).not.toMatch(/hunter|nter22|QUJD/);
        expect(shown).not.toContain(agent.token.slice(-8));
      }
    }
    const found = await answerOf('discreet', 'read_session', { session, match: '^pass' });
    expect(found['matches']).toMatchObject([{ text: 'password=‹password›' }]);
    const stream = await fetch(`${agent.url}/sessions/${session}/stream`, {
      headers: { 'x-auth-token': tokens['discreet'] ?? '' },
    });
    const events = await stream.text();
    expect(events).toContain('password=‹password›');
    expect(events).not.toMatch(/hunter|QUJD/);
    expect(readFileSync(`${agent.sessionsDir}/${session}/stdout`, 'utf8')).toContain('password=hunter22');
  });

  test('masks what is at a cut', async () => {
    const cmd = "for i in $(seq 2000); do echo 'x=1 password=hunter22 y'; done";
    for (const max_output of [1024, 1033, 1041, 2000, 2011]) {
      const { stdout } = await answerOf('discreet', 'shell', { cmd, max_output });
      expect(String(stdout).replaceAll('password=‹password›', '')).not.toMatch(/h?unter|nter22|er22|=hun/);
    }
    const long = await answerOf('discreet', 'shell', { cmd: "yes 'pwd=abc' | head -c 90000" });
    expect(JSON.stringify(long).length).toBeLessThan(100_000);
    expect(String(long['stdout'])).not.toContain('abc');
  });

  test('has limits of its own, for time and for files', async () => {
    expect(await answerOf('brief', 'shell', { cmd: 'true', timeout: 3 })).toMatchObject({
      error: 'Invalid args',
      message: expect.stringContaining('timeout must be a number up to 2'),
    });
    expect(await answerOf('brief', 'shell', { cmd: 'true', background: true })).toMatchObject({
      error: 'Invalid args',
    });
    const timedOut = await answerOf('brief', 'shell', { cmd: 'sleep 9', timeout: 0.2 });
    expect(timedOut['message']).toContain('A timeout of up to 2 is allowed.');
    const { session } = timedOut;
    for (const args of [{ session }, { session, match: 'x' }]) {
      expect(await answerOf('brief', 'read_session', args)).toMatchObject({
        message: expect.stringContaining('A timeout of up to 2 is allowed.'),
      });
    }
    const stream = await fetch(`${agent.url}/sessions/${session}/stream`, {
      headers: { 'x-auth-token': tokens['brief'] ?? '' },
    });
    expect(await stream.text()).toContain('A timeout of up to 2 is allowed.');
    const file = directory.join('large');
    const cmd = `head -c 2000000 /dev/zero > ${file}; stat -c %s ${file}; ulimit -c`;
    expect(await answerOf('brief', 'shell', { cmd })).toMatchObject({ stdout: '1048576\n0\n' });
  });

  test.skipIf(process.geteuid?.() !== 0)('runs commands as another user, with nothing of the own one', async () => {
    const cmd = 'id -un; id -Gn; echo $USER; grep -c CapEff.*0000000000000000 /proc/self/status';
    expect(await answerOf('worker', 'shell', { cmd, cwd: '/' })).toMatchObject({
      stdout: 'nobody\nnogroup\nnobody\n1\n',
      exit_code: 0,
    });
    const { session } = await answerOf('worker', 'shell', { cmd: 'sleep 0.3; exit 3', cwd: '/', background: true });
    expect(await answerOf('worker', 'read_session', { session, wait: 10 })).toMatchObject({ exit_code: 3 });
  });

  test('that is taken away allows nothing, and one that comes is there without a restart', async () => {
    const becomes = (status: number) =>
      eventually(
        `it is answered ${status}`,
        async () => (await call('fleeting', 'shell', { cmd: 'true' })).status === status,
      );
    await becomes(200);
    rmSync(`${PROFILES}/fleeting.toml`);
    await becomes(503);
    expect(await answerOf('fleeting', 'shell', { cmd: 'true' })).toMatchObject({
      error: 'Not available',
      message: expect.stringContaining('The profile fleeting of this token does not exist'),
    });
    put('fleeting.toml', 'extends = "full"');
    // Of one that was missing, nobody has to wait for the next look.
    expect((await call('fleeting', 'shell', { cmd: 'true' })).status).toBe(200);
  });

  test('whose file cannot even be looked at leaves those from before in force, and the log says so', async () => {
    symlinkSync('looped.toml', `${PROFILES}/looped.toml`);
    const isTold = () => agent.logs.some((line) => JSON.stringify(line['faults'] ?? '').includes('ELOOP'));
    await eventually('the fault is told', async () => {
      expect((await call('discreet', 'shell', { cmd: 'true' })).status).toBe(200);
      return isTold();
    });
    rmSync(`${PROFILES}/looped.toml`);
    put('looped.toml', 'extends = "full"');
    await eventually('the profiles are read again', async () => {
      expect((await call('discreet', 'shell', { cmd: 'true' })).status).toBe(200);
      return agent.logs.some((line) => JSON.stringify(line['profiles'] ?? '').includes('looped'));
    });
    rmSync(`${PROFILES}/looped.toml`);
  });

  test('whose file now has a fault stays as it was, and the others are read again', async () => {
    put('fleeting.toml', 'extends = "nothing"');
    put('reader.toml', 'operations = ["server_info"]');
    await eventually('the other is read again', async () => (await call('reader', 'list_sessions')).status === 403);
    expect((await call('fleeting', 'shell', { cmd: 'true' })).status).toBe(200);
    expect(
      agent.logs.some(
        (line) =>
          line['file'] === `${PROFILES}/fleeting.toml` && String(line['msg']).includes('the one from before stays'),
      ),
    ).toBe(true);
    put('fleeting.toml', 'extends = "full"');
    put('reader.toml', 'extends = "full"\noperations = ["read_session", "list_sessions", "server_info"]\n');
  });

  test('whose file has a fault leaves those from before in force', async () => {
    put('later.toml', 'extends = "nothing"');
    const told = agent.log.find('the fault', (line) => String(line['msg']).startsWith('a profile cannot be used'));
    let isTold = false;
    told.then(() => (isTold = true));
    await eventually('the fault is told', async () => {
      expect((await agent.shell({ cmd: 'echo on' })).stdout).toBe('on\n');
      return isTold;
    });
    rmSync(`${PROFILES}/later.toml`);
  });
});

describe('agent3 profile', () => {
  test('lists what there is', async () => {
    const { stdout } = await agent3(['profile', 'list', '--dir', PROFILES]);
    expect(stdout).toContain('full ');
    expect(stdout).toMatch(/^reader .*Allows read_session, list_sessions, server_info\.$/m);
    expect((await agent3(['profile', 'list', '--hidden'])).stdout).toContain('/etc/shadow*\n');
  });

  const faults: readonly [what: string, text: string, told: string][] = [
    ['no TOML', 'extends = ', 'it cannot be parsed'],
    ['an unknown name', 'colour = "red"', 'there is no colour; a profile has extends, description'],
    ['an unknown base', 'extends = "root"', 'extends must be'],
    ['an unknown operation', 'operations = ["shell", "format"]', 'operations.1 must be'],
    ['a workspace without its directory', 'extends = "workspace"', 'a workspace needs a directory'],
    ['a workspace that is the system', 'extends = "workspace"\ndirectory = "/etc/app"', 'belongs to the system'],
    ['a workspace with a way out', 'extends = "workspace"\ndirectory = "/srv/../etc"', 'write it as /etc'],
    ['a directory of no workspace', 'directory = "/srv/app"', 'directory needs extends = "workspace"'],
    ['a network of full', 'extends = "full"\nnetwork = true', 'network, hide and show need'],
    ['a look at the agent’s own', 'show = ["/etc/agent3"]', "the agent's own settings"],
    ['a secret that is none', 'show = ["/etc/passwd"]', 'not in the built-in list'],
    ['a rule that does nothing known', '[[rules]]\naction = "refuse"', 'rule 1: action must be'],
    ['a rule with an unknown name', '[[rules]]\naction = "deny"\ncmd = "rm"', 'rule 1: there is no cmd'],
    ['an unknown limit', '[limits]\nruning = 4', 'there is no limits.runing; limits has exec_seconds, '],
    ['an unknown part of a rule', '[[rules]]\naction = "deny"\ncommands = "rm"', '; a rule has action, command, '],
    ['rules that are no list', '[rules]\naction = "deny"', 'rules must be a list, not an object: write [[rules]]'],
    ['limits that are a list', '[[limits]]\nrunning = 4', 'limits must be an object, not a list: write [limits]'],
    [
      'a path that no system call takes',
      'hide = ["/srv/x\\u0000"]',
      'hide.0 must be a path that begins with / or ~/, not "/srv/x\\u0000"',
    ],
    [
      'a directory that no system call takes',
      'extends = "workspace"\ndirectory = "/srv/x\\u0000"',
      'directory must be an absolute path, not "/srv/x\\u0000"',
    ],
    ['what every command needs', 'hide = ["/srv/x", "/usr/"]', 'hide /usr/: no command could run'],
    ['the whole machine', 'hide = ["//"]', 'hide //: no command could run'],
    ['a list without entries', '[[rules]]\naction = "deny"\ncommand = []', 'command must have 1 to 200 entries, not 0'],
    ['a list of too many', 'notify = ["ended", "ended"]', 'notify must have 0 to 1 entries, not 2'],
    ['a path that is none', 'hide = ["x"]', 'hide.0 must be a path that begins with / or ~/, not "x"'],
    ['a user that is none', 'user = "Me!"', 'user must be the name of a user, of up to 32'],
    ['a rule about nothing', '[[rules]]\naction = "deny"', 'rule 1 has no condition'],
    ['a flag without its dash', '[[rules]]\naction = "deny"\nflags = ["r"]', 'write flags = ["-r"]'],
    ['flags in one', '[[rules]]\naction = "deny"\nflags = "-r -f"', 'write flags = ["-r","-f"]'],
    [
      'a command with its flags',
      '[[rules]]\naction = "deny"\ncommand = "rm -rf"',
      'rule 1: command "rm -rf" is more than the name of a program: write command = "rm", flags = ["-r","-f"]',
    ],
    ['flags in one word', '[[rules]]\naction = "deny"\nflags = "rf"', 'flags = ["-r","-f"] or flags = ["--rf"]'],
    ['a path with a detour', '[[rules]]\naction = "deny"\nwrites = "/srv/../etc/*"', 'write "/etc/*"'],
    [
      'a rule that is never reached',
      '[[rules]]\naction = "allow"\ncommand = "git"\n[[rules]]\naction = "deny"\ncommand = "git"\narguments = "push"',
      'rule 2 is never reached: rule 1 (allow command git) already covers all of it; move it before rule 1',
    ],
    ['a command that is a number', '[[rules]]\naction = "deny"\ncommand = 4', 'characters or a list, not 4'],
    ['a limit that is none', '[limits]\nmemory_mib = "1G"', 'limits.memory_mib must be'],
  ];
  test.each(faults)('finds %s', async (_, text, told) => {
    using files = new TemporaryDirectory();
    writeFileSync(files.join('faulty.toml'), text);
    const { code, stdout, stderr } = await agent3(['profile', 'check', files.join('faulty.toml')]);
    expect(code).toBe(1);
    expect(stdout + stderr).toContain(told);
  });

  test.each([
    ['ok.yaml', 0o644, 'must end with .toml or .json'],
    ['ok.toml', 0o666, 'others than its owner may write to it (mode 0666): chmod go-w'],
    ['ok.json', 0o664, '(mode 0664)'],
  ])('refuses %s of mode %i', async (name, mode, told) => {
    using files = new TemporaryDirectory();
    writeFileSync(files.join(name), name === 'ok.json' ? '{}' : '');
    chmodSync(files.join(name), mode);
    const { code, stdout } = await agent3(['profile', 'check', files.join(name)]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(told) });
  });

  test('finds a user that does not exist', async () => {
    using files = new TemporaryDirectory();
    writeFileSync(files.join('ghost.toml'), 'extends = "full"\nuser = "no-such-user"');
    const { code, stdout } = await agent3(['profile', 'check', files.join('ghost.toml')]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '✗ ghost: there is no user no-such-user\n' });
    const asJson = await agent3(['profile', 'check', '--json', files.join('ghost.toml')]);
    expect({ code: asJson.code, checked: JSON.parse(asJson.stdout) }).toEqual({
      code: 1,
      checked: [{ profile: 'ghost', faults: ['there is no user no-such-user'], notes: [] }],
    });
  });

  test('checks every file that it is given, also after a faulty one, and waits for no pipe', async () => {
    using files = new TemporaryDirectory();
    const [colour, pipe, good] = ['colour.toml', 'pipe.toml', 'good.toml'].map((name) => files.join(name));
    writeFileSync(`${colour}`, 'colour = "red"');
    Bun.spawnSync(['mkfifo', `${pipe}`]);
    writeFileSync(`${good}`, 'extends = "full"');
    const { code, stdout, stderr } = await agent3(['profile', 'check', `${colour}`, `${pipe}`, `${good}`]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout.trimEnd().split('\n')).toEqual([
      '✓ good',
      expect.stringContaining(`✗ ${colour}: there is no colour;`),
      `✗ ${pipe}: it cannot be read: it is not a regular file`,
    ]);
    const asJson = await agent3(['profile', 'check', '--json', `${colour}`]);
    expect({ code: asJson.code, checked: JSON.parse(asJson.stdout) }).toMatchObject({
      code: 1,
      checked: [{ profile: null, notes: [] }],
    });
  });

  test('check notes what may be meant otherwise, and finds no fault in it', async () => {
    using files = new TemporaryDirectory();
    const text = 'extends = "full"\n[[rules]]\naction = "deny"\nwrites = "etc/passwd"\n[limits]\ncpu_percent = 1000000';
    writeFileSync(files.join('odd.toml'), text);
    const { code, stdout } = await agent3(['profile', 'check', files.join('odd.toml')]);
    expect({ code, lines: stdout.split('\n') }).toEqual({
      code: 0,
      lines: [
        '✓ odd',
        expect.stringMatching(/^ {2}note: rule 1: writes "etc\/passwd" only matches what is written in the same way/),
        expect.stringMatching(/^ {2}note: cpu_percent 1000000 has no effect/),
        '',
      ],
    });
  });

  test.each([
    ['an empty command', ['']],
    ['blanks', [' \n\t']],
    ['a relative directory', ['ls', '--cwd', 'srv/app']],
  ])('explain refuses %s', async (_, words) => {
    const { code, stdout, stderr } = await agent3(['profile', 'explain', 'full', ...words]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/the command is empty|--cwd must be an absolute path/);
  });

  test('explain begins in the workspace, and its exit code shows the answer', async () => {
    using files = new TemporaryDirectory();
    const rules = [
      { action: 'deny', writes: '/srv/app/secret' },
      { action: 'confirm', command: 'reboot' },
    ];
    const profile = { extends: 'workspace', directory: '/srv/app', rules };
    writeFileSync(files.join('app.json'), JSON.stringify(profile));
    const codeOf = async (cmd: string): Promise<number> =>
      (await agent3(['profile', 'explain', 'app', cmd, '--dir', files.path])).code;
    expect(await Promise.all(['ls', 'reboot', 'echo x > secret'].map(codeOf))).toEqual([0, 3, 4]);
  });

  test('list shows the description with its limits and rules', async () => {
    using files = new TemporaryDirectory();
    writeFileSync(files.join('app.toml'), 'extends = "full"\notherwise = "deny"\n[limits]\nexec_seconds = 30');
    const { stdout } = await agent3(['profile', 'list', '--dir', files.path]);
    expect(stdout).toContain(
      'Everything that the user of the agent may do, within its rules and limits. Limits: exec_seconds 30. What no rule allows is denied.',
    );
  });

  test('server_info shows the model the limits of its profile', async () => {
    using files = new TemporaryDirectory();
    const limits = { memory_mib: 64, file_mib: 2, running: 1, io_weight: 50 };
    const profile = { extends: 'workspace', directory: '/srv/app', operations: ['shell', 'server_info'], limits };
    writeFileSync(files.join('app.json'), JSON.stringify(profile));
    await using other = await startAgent({ AGENT3_PROFILES_DIR: files.path, AGENT3_PROFILE: 'app' });
    const { body, text } = await other.call('server_info');
    expect(text.length).toBeLessThan(2048);
    expect((body as unknown as { profile: unknown }).profile).toEqual({
      name: 'app',
      description: expect.stringContaining('one writable directory'),
      has_rules: false,
      writable: ['/srv/app'],
      network: false,
      operations: ['shell', 'server_info'],
      memory_mib: 64,
      file_mib: 2,
      running: 1,
    });
  });

  test('a token of workspace is told that it needs a file', async () => {
    const { code, stderr } = await agent3(['token', 'create', 'w', '--profile', 'workspace'], settings);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('needs a profile of your own') });
  });

  test('a file that has faults costs its own profile alone', async () => {
    using files = new TemporaryDirectory();
    const broken = files.join('broken.toml');
    writeFileSync(broken, 'extends = "full"');
    writeFileSync(files.join('sound.toml'), 'extends = "full"');
    const more = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: files.path };
    const make = (name: string) => agent3(['token', 'create', name, '--profile', name], more);
    const token = (await make('broken')).stdout.trim();
    writeFileSync(broken, 'extends = "root"');
    const sound = (await make('sound')).stdout.trim();
    await using other = await startAgent(more);
    const ask = (secret: string) =>
      other.request('/', {
        method: 'POST',
        headers: { 'x-auth-token': secret },
        body: JSON.stringify({ op: 'shell', args: { cmd: 'true' } }),
      });
    expect((await ask(sound)).status).toBe(200);
    expectRefusal(await ask(token), 503, 'Not available');
    await other.log.find('the file', ({ file }) => file === broken);
    const { code, stdout } = await agent3(['profile', 'list'], more);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^broken +✗ cannot be used: .*extends/m),
    });
    expect(stdout).toMatch(/^sound /m);
    const refused = await agent3(['token', 'create', 'x', '--profile', 'broken'], more);
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining(`${broken}: extends must be`),
    });
  });

  test('an agent does not start when its own profile has faults, or is not there', async () => {
    using files = new TemporaryDirectory();
    writeFileSync(files.join('faulty.toml'), 'extends = "root"');
    const environment = {
      AGENT3_API_TOKEN: 'x'.repeat(32),
      AGENT3_PROFILES_DIR: files.path,
      AGENT3_PROFILE: 'faulty',
    };
    const { code, stderr } = await agent3(['serve'], environment);
    expect(code).toBe(2);
    expect(stderr).toContain('faulty.toml: extends must be');
    const missing = await agent3(['serve'], { AGENT3_API_TOKEN: 'x'.repeat(32), AGENT3_PROFILE: 'deploy' });
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain('AGENT3_PROFILE: there is no profile deploy');
  });
});
