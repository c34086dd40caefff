import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'unshare');
const canTry = isRoot && missing.length === 0;

/**
 * The agent is in a mount namespace of its own, in which a program can be put in the place of another: the machine keeps
 * its own.
 */
describe.skipIf(!canTry)('what cannot be started', () => {
  const files = new TemporaryDirectory('/srv');
  const settings = {
    AGENT3_TOKENS_FILE: files.join('tokens.json'),
    AGENT3_PROFILES_DIR: files.join('profiles.d'),
    AGENT3_AUDIT_FILE: files.join('audit.jsonl'),
  };
  const tokens: Record<string, string> = {};
  let agent: Agent;

  const inside = (...words: string[]): void => {
    const { exitCode, stderr } = Bun.spawnSync(['nsenter', '-t', String(agent.pid), '-m', ...words]);
    if (exitCode !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
  };
  const pathOf = (name: string): string => Bun.which(name, { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }) ?? name;
  /** Runs `work` while another program is in the place of one; without text, none is. */
  const instead = async (name: string, script: string | undefined, work: () => Promise<void>): Promise<void> => {
    const path = pathOf(name);
    const other = files.join(`other-${name}`);
    writeFileSync(other, script ?? '');
    chmodSync(other, script === undefined ? 0o644 : 0o755);
    inside('mount', '--bind', other, path);
    try {
      await work();
    } finally {
      inside('umount', path);
    }
  };
  const call = async (profile: string, op: string, args: object): Promise<Record<string, unknown>> => {
    const response = await fetch(`${agent.url}/`, {
      method: 'POST',
      headers: { 'x-auth-token': tokens[profile] ?? '' },
      body: JSON.stringify({ op, args }),
    });
    return { http: response.status, ...((await response.json()) as object) };
  };
  const shell = (profile: string, args: object) => call(profile, 'shell', { cwd: '/', ...args });
  const evidence = files.join('work/ran');
  const touch = `touch ${evidence}; echo ran`;

  beforeAll(async () => {
    chmodSync(files.path, 0o755);
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    mkdirSync(files.join('work'));
    const put = (name: string, text: string): void =>
      writeFileSync(join(settings.AGENT3_PROFILES_DIR, `${name}.toml`), text);
    put('look', 'extends = "readonly"\nuser = "root"');
    put('work', `extends = "workspace"\ndirectory = "${files.join('work')}"`);
    put('user', 'extends = "full"\nuser = "nobody"');
    put('limits', 'extends = "full"\n[limits]\nfile_mib = 1');
    put('both', 'extends = "readonly"\nuser = "nobody"\n[limits]\nfile_mib = 1');
    for (const name of ['look', 'work', 'user', 'limits', 'both'])
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
    agent = await startAgent(settings, ['unshare', '--mount', '--propagation', 'private']);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  /** Passes the trial of a sandbox, which runs `true`, and fails for every command. */
  const failing = (words: string, code: number): string =>
    `#!/bin/bash\nif [ "\${@: -1}" = true ]; then exit 0; fi\n${words}\nexit ${code}\n`;
  const faults: readonly [what: string, profile: string, program: string, script: string | undefined, told: string][] =
    [
      ['bubblewrap that is not there', 'look', 'bwrap', undefined, 'apt-get install bubblewrap'],
      ['bubblewrap that is no program', 'look', 'bwrap', 'x', 'sandbox'],
      ['bubblewrap that cannot do it', 'look', 'bwrap', '#!/bin/sh\necho "bwrap: no" >&2; exit 1', 'a sandbox (no)'],
      [
        'bubblewrap that has too many arguments',
        'look',
        'bwrap',
        failing('echo "bwrap: Exceeded maximum number of arguments 9000" >&2', 1),
        'bubblewrap cannot make a sandbox (Exceeded maximum number of arguments 9000)',
      ],
      [
        'a mount that fails',
        'work',
        'bwrap',
        failing('echo "bwrap: Unable to mount: x" >&2', 1),
        '(Unable to mount: x)',
      ],
      [
        'no more namespaces',
        'look',
        'bwrap',
        failing('echo "bwrap: Creating new namespace failed: nesting depth (ENOSPC)" >&2', 1),
        'Creating new namespace failed',
      ],
      ['bubblewrap without a word', 'look', 'bwrap', failing('', 1), 'they gave no reason'],
      ['bubblewrap that ends well', 'look', 'bwrap', failing('', 0), 'they gave no reason'],
      ['bubblewrap without its libraries', 'look', 'bwrap', failing('echo "libcap.so.2: no" >&2', 127), 'libcap.so.2'],
      [
        'bubblewrap that takes too long to try',
        'look',
        'bwrap',
        '#!/bin/sh\nexec sleep 60',
        'a sandbox was not made within 5 s: the machine is busy',
      ],
      [
        'bubblewrap that is too old',
        'work',
        'bwrap',
        '#!/bin/sh\necho "bwrap: Unknown option --bind-fd" >&2; exit 1',
        'apt-get install bubblewrap',
      ],
      ['chroot that fails', 'user', 'chroot', '#!/bin/sh\necho "chroot: no" >&2; exit 1', 'chroot: no'],
      ['chroot that is not there', 'user', 'chroot', undefined, 'apt-get install bubblewrap util-linux'],
      ['chroot before a sandbox', 'both', 'chroot', failing('echo "chroot: no" >&2', 1), 'chroot: no'],
      ['prlimit that fails', 'limits', 'prlimit', '#!/bin/sh\necho "prlimit: no" >&2; exit 1', 'prlimit: no'],
      ['prlimit before a sandbox', 'both', 'prlimit', '#!/bin/sh\necho "prlimit: no" >&2; exit 1', 'prlimit: no'],
      ['prlimit that is not there', 'limits', 'prlimit', undefined, 'apt-get install bubblewrap util-linux'],
    ];
  test.each(faults)('is answered 503, and runs when it is mended: %s', async (what, profile, program, script, told) => {
    rmSync(evidence, { force: true });
    const args = { cmd: touch, key: what };
    await instead(program, script, async () => {
      const answer = await shell(profile, args);
      expect(answer['message']).toContain(told);
      expect(answer).toMatchObject({ http: 503, error: 'Not available' });
      expect(answer['message']).toStartWith('Nothing was run');
      expect(existsSync(evidence)).toBe(false);
    });
    // A fault that was found is looked for again within 2 s; the key was not used up.
    for (let tries = 0; tries < 40; tries++) {
      const { http, stdout } = await shell(profile, args);
      if (http === 200) return expect(stdout).toBe('ran\n');
      await Bun.sleep(100);
    }
    throw new Error('it does not mend itself');
  });

  const EXCEEDED = 'bwrap: Exceeded maximum number of arguments 9000';
  const own: readonly [what: string, cmd: string, code: number][] = [
    ['writes what bubblewrap would', `echo "${EXCEEDED}" >&2; exit 1`, 1],
    ['writes of a directory', `echo "bwrap: Can't chdir to /x: No such file or directory" >&2; exit 1`, 1],
    ['writes what chroot would', 'echo "chroot: no" >&2; exit 1', 1],
    ['writes of a user', 'echo "agent3: the user of this profile cannot enter" >&2; exit 126', 126],
    ['is not found', 'exec /none', 127],
    ['cannot be run', 'exec /etc/passwd', 126],
    ['fails without a word', 'exit 1', 1],
    ['kills its shell', 'kill -9 $$', 137],
    ['closes all that it has', 'exec 0>&- 1>&- 2>&-; exit 3', 3],
  ];
  const rows = own.flatMap((row) => ['look', 'work', 'user', 'limits', 'both'].map((one) => [one, ...row] as const));
  test.each(rows)('is not a command in %s that %s', async (profile, _, cmd, code) => {
    expect(await shell(profile, { cmd })).toMatchObject({ http: 200, status: 'done', exit_code: code });
  });

  test.each(['look', 'work', 'user'])('is not a command in %s whose env speaks to the loader', async (profile) => {
    const env = { LD_PRELOAD: "/no'ne", LD_BIND_NOW: '1' };
    const answer = await shell(profile, { cmd: 'echo "$LD_PRELOAD $LD_BIND_NOW"', env });
    expect(answer).toMatchObject({ http: 200, status: 'done', stdout: "/no'ne 1\n" });
    // The agent's own programs before the command would tell of it, too.
    expect(String(answer['stderr']).match(/cannot be preloaded/g)).toHaveLength(1);
  });

  test('in the background ends as not run, with the reason', async () => {
    await instead('bwrap', failing(`echo "${EXCEEDED}" >&2`, 1), async () => {
      const { session } = await shell('look', { cmd: touch, background: true });
      expect(await call('look', 'read_session', { session, wait: 5 })).toMatchObject({
        status: 'denied',
        exit_code: 126,
        message: expect.stringContaining('Nothing was run: bubblewrap cannot make a sandbox (Exceeded maximum'),
      });
    });
  });

  test('in a terminal is answered 503 as well', async () => {
    await instead('bwrap', failing(`echo "${EXCEEDED}" >&2`, 1), async () => {
      const answer = await shell('look', { cmd: touch, pty: true });
      expect(answer).toMatchObject({ http: 503, message: expect.stringContaining('Exceeded maximum') });
    });
  });

  test('is on record as not started, never as a command that ran', async () => {
    let session: unknown;
    await instead('bwrap', failing(`echo "${EXCEEDED}" >&2`, 1), async () => {
      ({ session } = await shell('look', { cmd: touch, background: true }));
      await call('look', 'read_session', { session, wait: 5 });
    });
    const lines = readFileSync(settings.AGENT3_AUDIT_FILE, 'utf8').trim().split('\n');
    const ends = lines
      .map((line) => JSON.parse(line))
      .filter((line) => line.session === session && line.event === 'end');
    expect(ends).toMatchObject([{ status: 'not started', reason: expect.stringContaining('Exceeded maximum') }]);
  });

  test('is a working directory that is not there in the sandbox', async () => {
    const answer = await call('look', 'shell', { cmd: touch, cwd: '/var/backups/none' });
    expect(answer).toMatchObject({ http: 503, message: expect.stringContaining('there is no directory') });
  });
});

/**
 * Opens what every later command of its user has open, as early as it can. While `evidence` is there it cuts all files in
 * memory, drains the pipes, takes the sockets (pidfd_getfd(2)), reads and shuts them.
 */
const thief = (evidence: string): string => `echo looks; exec perl -MSocket -e '
  my (%files, %pipes, %sockets);
  for (my $end = time + 7; time < $end;) {
    opendir my $proc, "/proc";
    for my $pid (grep { /^\\d+$/ && $_ > $$ } readdir $proc) {
      for my $fd (glob "/proc/$pid/fd/[3-9]") {
        my $to = readlink $fd or next;
        my $key = "$pid $to";
        if ($to =~ /memfd/) { $files{$to} || open $files{$to}, "+<", $fd }
        elsif ($to =~ /^pipe/) { $pipes{$key} || sysopen $pipes{$key}, $fd, 04000 }
        elsif ($to =~ /^socket/ && !$sockets{$key}) {
          my $stolen = syscall 438, syscall(434, $pid, 0), substr($fd, -1) + 0, 0;
          open $sockets{$key}, "+<&=", $stolen if $stolen >= 0;
        }
      }
    }
    -e "${evidence}" or next;
    $_ && truncate $_, 0 for values %files;
    $_ && sysread $_, my $taken, 65536 for values %pipes;
    $_ && (recv($_, my $bytes, 65536, 0x40), shutdown $_, 2) for values %sockets;
  }'`;

const BECOME = 'chown -R "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
/** No other test runs anything as this user. */
const OTHER = 61_377;

describe.skipIf(!canTry)('no other command of the same user makes one that ran a command that was not started', () => {
  const victim = 'user = "proxy"';
  const agents: readonly [who: string, before: readonly string[], thief: string, victims: Record<string, string>][] = [
    [
      'root',
      [],
      `extends = "full"\n${victim}`,
      {
        user: `extends = "full"\n${victim}`,
        sandbox: `extends = "readonly"\n${victim}`,
        both: `extends = "readonly"\n${victim}\n[limits]\nfile_mib = 1`,
      },
    ],
    [
      'another user',
      ['sh', '-c', BECOME, String(OTHER)],
      'extends = "full"',
      { sandbox: 'extends = "readonly"', limits: 'extends = "full"\n[limits]\nfile_mib = 1' },
    ],
  ];
  const rows = agents.flatMap(([who, before, own, victims]) =>
    Object.entries(victims).map(([kind, text]) => [who, kind, before, own, text] as const),
  );
  test.each(rows)('of an agent that is %s, in a profile with %s', async (_who, _kind, before, own, text) => {
    using files = new TemporaryDirectory('/srv');
    chmodSync(files.path, 0o755);
    const settings = {
      AGENT3_TOKENS_FILE: files.join('own/tokens.json'),
      AGENT3_PROFILES_DIR: files.join('profiles.d'),
    };
    mkdirSync(files.join('own'));
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    mkdirSync(files.join('open'));
    chmodSync(files.join('open'), 0o777);
    const tokens: Record<string, string> = {};
    for (const [name, content] of Object.entries({ thief: own, victim: text })) {
      writeFileSync(join(settings.AGENT3_PROFILES_DIR, `${name}.toml`), content);
      tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
    }
    if (before.length > 0) Bun.spawnSync(['chown', '-R', `${OTHER}:${OTHER}`, files.join('own')]);
    await using agent = await startAgent(settings, before);
    const call = async (name: string, op: string, args: object): Promise<Record<string, unknown>> => {
      const response = await fetch(`${agent.url}/`, {
        method: 'POST',
        headers: { 'x-auth-token': tokens[name] ?? '' },
        body: JSON.stringify({ op, args }),
      });
      return { http: response.status, ...((await response.json()) as object) };
    };
    const evidence = files.join('open/ran');
    const { session: stealing } = await call('thief', 'shell', { cmd: thief(evidence), cwd: '/', background: true });
    await eventually('the thief', async () => {
      const { stdout } = await call('thief', 'read_session', { session: stealing });
      return stdout === 'looks\n';
    });
    // Long to take over: the thief has time.
    const env = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`LONG_${index}`, 'x'.repeat(1000)]));
    const begin = (background: boolean) =>
      call('victim', 'shell', { cmd: 'echo ran; sleep 3; exit 3', cwd: '/', env, background });
    const running = Array.from({ length: 3 }, () => begin(false));
    const { session } = await begin(true);
    await Bun.sleep(1500);
    writeFileSync(evidence, '');
    const ended = { http: 200, status: 'done', exit_code: 3, stdout: 'ran\n' };
    for (const one of await Promise.all(running)) expect(one).toMatchObject(ended);
    await eventually('its end', async () => {
      const { status } = await call('victim', 'read_session', { session });
      return status !== 'running';
    });
    expect(await call('victim', 'read_session', { session })).toMatchObject(ended);
  });
});
