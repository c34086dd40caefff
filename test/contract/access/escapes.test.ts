import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOOK_USER } from '../../../src/lib/look-user.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import {
  type Attempt,
  call,
  hasEscaped,
  INTERNET,
  LEASES,
  numberOf,
  SET_ID,
  SHARED,
  SOCKETS,
  saidBy,
  tryAll,
  WATCHES,
} from '../../helpers/attempts.ts';
import { BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { compiled } from '../../helpers/compiled.ts';
import { command, ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf, type RecordLine } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'gcc', 'git', 'perl');

/** Ways to leave a process behind that only a cgroup shows. */
const LEFT: readonly Attempt[] = [
  ['a session of its own without its environment', '(setsid env -i sleep MARK &)'],
  ['two forks', '( (setsid env -i sleep MARK &) & ) '],
  ['no descriptors', '(setsid env -i sleep MARK <&- >&- 2>&- &)'],
  ['nohup', 'setsid nohup env -i sleep MARK > /dev/null 2>&1 &'],
  [
    'perl that forks twice',
    `perl -e 'fork and exit; use POSIX; setsid(); fork and exit; %ENV = (); exec qw(sleep MARK)'`,
  ],
  [
    'the one of many that stays',
    'for i in 1 2 3 4 5 6 7 8 9; do (setsid env -i true &); done; (setsid env -i sleep MARK &)',
  ],
  ['a storm of forks', `(setsid env -i sh -c 'while :; do sleep MARK & sleep 0.05; done' &)`],
  ['one that hears no signal', `(setsid env -i sh -c 'trap "" TERM HUP INT; exec sleep MARK' &)`],
];

/** What a command may make of its output. */
const OUTPUT: readonly Attempt[] = [
  ['takes its modes away', call('fchmod', 1, 0)],
  ['takes the modes of both away', `${call('fchmod', 1, 0)}; ${call('fchmod', 2, 0)}`],
  ['takes its modes away by its name', 'chmod 000 /proc/self/fd/1 2> /dev/null'],
  ['takes its modes away again and again', 'timeout 1 perl -e "chmod 0, STDOUT while 1"'],
  ['leaves who takes its modes away', '(setsid timeout 3 perl -e "chmod 0, STDOUT while 1" &) ; sleep 0.2'],
  ['cuts it', `${call('ftruncate', 1, 0)}; echo more`],
  ['makes it long', call('ftruncate', 1, 2_000_000)],
  ['changes its times', 'touch -d 2001-01-01 /proc/self/fd/1 2> /dev/null'],
  ['writes into its middle', `perl -e 'seek STDOUT, 0, 0; syswrite STDOUT, "middle"'`],
  ['takes more room than it fills', 'fallocate -n -l 3M /proc/self/fd/1 2> /dev/null; echo more'],
];

const homedir = (user: string): string => command(['getent', 'passwd', user]).split(':')[5] ?? '/';

/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';

/** What is in the file of each profile. */
const FILES = {
  readonly: '',
  old: 'user = "root"',
  work: '',
  both: 'user = "nobody"',
  net: 'network = true',
  // A token of the profile full, whose commands are run by the operation look.
  look: '',
} as const;
type Name = keyof typeof FILES;
const writesNowhere = (profile: Name): boolean => ['readonly', 'old', 'look'].includes(profile);
const NOBODY = 65_534;
/** Who the agent runs as, and the profiles of its tokens: only root becomes another user. */
const AGENTS: readonly (readonly [who: string, uid: number, profiles: readonly Name[]])[] = [
  ['root', 0, ['readonly', 'old', 'work', 'both', 'net', 'look']],
  ['daemon', 1, ['readonly', 'work', 'net', 'look']],
];

describe.skipIf(!isRoot || missing.length > 0).each([...AGENTS])(
  'of an agent that is %s, a command',
  (who, uid, profiles) => {
    const name = `agent3-escapes-${who}-${process.pid}`;
    const place = join('/srv', name);
    const outside = join(place, 'outside');
    const workOf = (profile: Name): string => join(place, profile);
    const files = new TemporaryDirectory();
    const tokens: Record<string, string> = {};
    let agent: Agent;
    let daemon: Bun.Subprocess<'ignore', Bun.BunFile, 'inherit'>;
    const heard = (): string => readFileSync(join(place, 'heard'), 'utf8');

    beforeAll(async () => {
      mkdirSync(place);
      chmodSync(place, 0o755);
      mkdirSync(join(place, 'own'));
      mkdirSync(outside);
      chmodSync(outside, 0o777);
      writeFileSync(join(outside, 'file'), 'kept', { mode: 0o644 });
      compiled('attempt', join(place, 'attempt'));
      const settings = {
        AGENT3_TOKENS_FILE: join(place, 'own/tokens.json'),
        AGENT3_PROFILES_DIR: files.join('profiles.d'),
      };
      mkdirSync(settings.AGENT3_PROFILES_DIR);
      for (const profile of profiles) {
        const file = join(settings.AGENT3_PROFILES_DIR, `${profile}.toml`);
        if (profile === 'old') writeFileSync(file, FILES.old);
        if (!writesNowhere(profile)) {
          mkdirSync(workOf(profile));
          const owner = profile === 'both' ? NOBODY : uid;
          chownSync(workOf(profile), owner, owner);
          const text = `extends = "workspace"\ndirectory = "${workOf(profile)}"\n${FILES[profile]}\n`;
          writeFileSync(file, text);
        }
        const held = profile === 'look' ? 'full' : profile;
        tokens[profile] = (await agent3(['token', 'create', profile, '--profile', held], settings)).stdout.trim();
      }
      command(['chown', '-R', `${uid}:${uid}`, files.path, join(place, 'own')]);
      const audit = { AGENT3_AUDIT_FILE: files.join('audit.jsonl') };
      writeFileSync(join(place, 'heard'), '');
      daemon = Bun.spawn(
        ['setpriv', '--reuid=65534', '--clear-groups', join(place, 'attempt'), 'serve', outside, name],
        {
          stdio: ['ignore', Bun.file(join(place, 'heard')), 'inherit'],
        },
      );
      await eventually('the daemon listens', () => heard().includes('serving'));
      agent = await startAgent({ ...settings, ...audit }, uid === 0 ? [] : ['sh', '-c', BECOME, String(uid)]);
    });
    afterAll(async () => {
      daemon?.kill();
      await agent?.[Symbol.asyncDispose]();
      files[Symbol.dispose]();
      rmSync(place, { recursive: true, force: true });
    });

    const callAs = async (profile: Name, op: string, args: object): Promise<Record<string, unknown>> => {
      const response = await fetch(`${agent.url}/`, {
        method: 'POST',
        headers: { 'x-auth-token': tokens[profile] ?? '' },
        body: JSON.stringify({ op, args }),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    const shellAs = (profile: Name, args: object) =>
      callAs(profile, profile === 'look' ? 'look' : 'shell', { cwd: '/', ...args });
    const readAs = (profile: Name, args: object) => callAs(profile, 'read_session', args);
    /** Runs a try in a new, empty directory, which is $D. */
    const attempt = (profile: Name, cmd: string): Promise<Record<string, unknown>> => {
      const work = writesNowhere(profile) ? '/tmp' : workOf(profile);
      // The operation look takes no env.
      const told = `export A='${join(place, 'attempt')}' O='${outside}' N='${name}'`;
      return shellAs(profile, { cmd: `${told}; D=$(mktemp -d ${work}/t.XXXXXX); cd "$D"; ${cmd}`, timeout: 35 });
    };
    /** Whether what runs the commands of a profile has such arguments: look has no terminal and no background. */
    const takes = (profile: Name, args: object): boolean =>
      profile !== 'look' || ['interactive', 'pty', 'background'].every((name) => !(name in args));
    /** Files outside with set-id bits. */
    const setIds = (): string => command(['find', place, agent.sessionsDir, '-type', 'f', '-perm', '/6000']);
    describe.each([...profiles])('in %s', (profile) => {
      const refused = [...SET_ID, ...SOCKETS, ...LEASES, ...SHARED];
      const all = [...refused, ...WATCHES, ...INTERNET];
      const said = new Map<string, string>();
      let heardBefore = '';
      beforeAll(async () => {
        heardBefore = heard();
        const work = writesNowhere(profile) ? '/tmp' : workOf(profile);
        // A busy machine gets through so many within the time of one call.
        for (let at = 0; at < all.length; at += 40) {
          const some = all.slice(at, at + 40);
          const answer = await attempt(profile, tryAll(some, work));
          expect(answer).toMatchObject({ status: 'done', exit_code: 0, truncated: false });
          for (const [what, text] of saidBy(some, String(answer['stdout']))) said.set(what, text);
        }
      }, 240_000);

      test.each(refused.map(([what]) => what))('does not get done: %s', (what) => {
        expect(hasEscaped(what, said.get(what))).toBe(false);
      });

      test('leaves no file with set-id bits, and is heard by no program', () => {
        expect({ setIds: setIds(), heard: heard() }).toEqual({ setIds: '', heard: heardBefore });
      });

      test.each(WATCHES.map(([what]) => what))('watches nothing where it writes nothing: %s', (what) => {
        expect(hasEscaped(what, said.get(what))).toBe(!writesNowhere(profile) && what.startsWith('inotify'));
      });

      test.each(INTERNET.map(([what]) => what))('takes no memory where it reaches nobody: %s', (what) => {
        expect(hasEscaped(what, said.get(what))).toBe(!writesNowhere(profile));
      });

      const starts: readonly (readonly [how: string, args: object])[] = [
        ['plainly', {}],
        ['with input', { stdin: 'x\n' }],
        ['with an input that stays open', { interactive: true, timeout: 5 }],
        ['in a terminal', { pty: true }],
        ['with more input than a pipe holds at first', { stdin: 'x'.repeat(200_000) }],
      ];
      test.each(starts.filter(([, args]) => takes(profile, args)))(
        'started %s, has three descriptors and none of the agent',
        async (_, args) => {
          const cmd = 'for fd in /proc/self/fd/*; do if [ -e "$fd" ]; then basename "$fd"; fi; done';
          const { stdout } = await shellAs(profile, { cmd, ...args });
          expect(String(stdout).replaceAll('\r', '')).toBe('0\n1\n2\n');
        },
      );
    });

    describe.each(profiles.filter((profile) => profile !== 'net'))('in %s', (profile) => {
      test('opens its output again, to write', async () => {
        const cmd =
          'echo a >&2; echo b >> /dev/stderr; echo c | tee -a /dev/stderr > /dev/null; echo d >> /proc/self/fd/1';
        expect(await shellAs(profile, { cmd })).toMatchObject({ stdout: 'd\n', stderr: 'a\nb\nc\n', exit_code: 0 });
      });

      test.each([...OUTPUT])('leaves its output to the agent when it %s', async (_, cmd) => {
        const answer = await attempt(profile, `echo begun; ${cmd}`);
        expect(answer).toMatchObject({ status: 'done' });
        const { session } = answer;
        for (const args of [{}, { match: 'begun' }, { plain: true }]) {
          expect(await readAs(profile, { session, ...args })).toMatchObject({ status: 'done' });
        }
        const isEnd = (line: RecordLine): boolean => line['session'] === session && line['event'] === 'end';
        const end = await eventually('its end is on record', () => linesOf(files.join('audit.jsonl')).find(isEnd));
        // The hash of much output comes in a line of its own.
        const hashed = await eventually('its hash is on record', () =>
          Number(end['stdout_bytes']) <= 1_048_576
            ? end
            : linesOf(files.join('audit.jsonl')).find(
                (line) => line['session'] === session && line['event'] === 'output',
              ),
        );
        expect(hashed).toMatchObject({ stdout_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
      });

      if (takes(profile, { background: true })) {
        test('is read while it takes the modes of its output away', async () => {
          const cmd = 'echo begun; timeout 100 perl -e "chmod 0, STDOUT; warn 1; chmod 0, STDOUT while 1"';
          const begun = await shellAs(profile, { cmd, background: true });
          expect(begun).not.toHaveProperty('error');
          const { session } = begun;
          const answer = await eventually('it takes them away', async () => {
            const now = await readAs(profile, { session });
            return now['stderr'] !== '' && now;
          });
          expect(answer).toMatchObject({ status: 'running', stdout: 'begun\n' });
          await callAs(profile, 'close_session', { session });
        });
      }
    });

    describe.each(profiles.filter((profile) => ['readonly', 'both', 'look'].includes(profile)))('in %s', (profile) => {
      /** Whether a process that a command has left runs, by its words: it bears no other mark. */
      const alive = (mark: string): boolean =>
        command(['sh', '-c', `pgrep -fc "^sleep ${mark}\\$" || true`]).trim() !== '0';

      test.each([...LEFT])('finds and stops what is left by %s', async (_, cmd) => {
        const mark = `4${Math.floor(Math.random() * 1e9)}`;
        // A busy machine takes its time to start what is left behind.
        const untilLeft = `until pgrep -xf "sleep ${mark}" > /dev/null; do sleep 0.02; done`;
        const answer = await attempt(profile, `${cmd.replaceAll('MARK', mark)}\n${untilLeft}`);
        expect(answer).toMatchObject({ status: 'done' });
        // What a look leaves behind ends with its shell.
        const isLeft = profile !== 'look';
        expect({ mark, alive: alive(mark) }).toEqual({ mark, alive: isLeft });
        if (isLeft) expect(String(answer['message'])).toContain('close_session');
        expect(await callAs(profile, 'close_session', { session: answer['session'] })).toEqual({ status: 'closed' });
        expect({ mark, alive: alive(mark) }).toEqual({ mark, alive: false });
      });

      test('says nothing of what has ended', async () => {
        for (let round = 0; round < 3; round++) {
          const brief = `(setsid env -i sh -c 'echo $$ > p' &); until [ -s p ]; do :; done; read p < p`;
          const cmd = `${brief}; while kill -0 $p 2> /dev/null; do :; done; true & true | true; wait`;
          const answer = await attempt(profile, cmd);
          expect(answer).not.toHaveProperty('message');
        }
      });
    });

    const runsAs = (profile: Name): string =>
      profile === 'both' ? 'nobody' : ['readonly', 'look'].includes(profile) && uid === 0 ? LOOK_USER : who;

    test.each([...profiles])('in %s runs as the user it should, with its groups and nothing more', async (profile) => {
      const cmd = 'id -un; id -u; grep -c "CapEff.*0000000000000000" /proc/self/status; pwd; exit 3';
      const user = runsAs(profile);
      const number = command(['id', '-u', user]).trim();
      const answer = await shellAs(profile, { cmd });
      expect(answer).toMatchObject({ stdout: `${user}\n${number}\n1\n/\n`, stderr: '', exit_code: 3 });
      // The token of look may do more with the others.
      if (profile === 'look') return;
      const info = await callAs(profile, 'server_info', {});
      expect(info['user']).toBe(user);
      const { session } = await shellAs(profile, { cmd: 'sleep 0.2; exit 4', background: true });
      expect(await readAs(profile, { session, wait: 10 })).toMatchObject({ status: 'done', exit_code: 4 });
    });

    test.each([...profiles])('in %s begins somewhere it may enter when none is named', async (profile) => {
      const { exit_code, stdout } = await shellAs(profile, { cmd: 'pwd', cwd: undefined });
      const begins = writesNowhere(profile) ? (profile !== 'old' && uid === 0 ? '/' : homedir(who)) : workOf(profile);
      expect({ exit_code, stdout }).toEqual({ exit_code: 0, stdout: `${begins}\n` });
    });

    const longs: readonly (readonly [how: string, args: object])[] = [
      ['plain', {}],
      ['with input', { stdin: 'given\n' }],
      ['in a terminal', { pty: true }],
      ['in the background', { background: true, wait: 10 }],
    ];
    test.each(
      profiles.flatMap((profile) =>
        longs.flatMap(([how, args]) => (takes(profile, args) ? [[profile, how, args] as const] : [])),
      ),
    )(
      'in %s runs a command that is longer than an argument, %s',
      async (profile, _, { wait, ...args }: { wait?: number }) => {
        const cmd = `: ${'€'.repeat(50_000)}\nprintf '%s' "$0" | wc -c > /dev/null
for fd in /proc/self/fd/*; do if [ -e "$fd" ]; then basename "$fd"; fi; done; exit 5`;
        const started = await shellAs(profile, { cmd, ...args });
        const ended = (): Promise<Record<string, unknown> | false> =>
          readAs(profile, { session: started['session'] }).then((read) => read['status'] === 'done' && read);
        const answer = wait === undefined ? started : await eventually('it has ended', ended);
        expect({ ...answer, stdout: String(answer['stdout']).replaceAll('\r', '') }).toMatchObject({
          exit_code: 5,
          stdout: '0\n1\n2\n',
        });
      },
    );

    if (uid === 0) {
      test('in readonly sees nothing that is only for root', async () => {
        writeFileSync(join(outside, 'private'), 'PRIVATE', { mode: 0o600 });
        const cmd = `cat ${outside}/private; ls /root; cat ${outside}/file`;
        expect(await shellAs('readonly', { cmd })).toMatchObject({ stdout: 'kept' });
        expect((await shellAs('old', { cmd }))['stdout']).toContain('PRIVATE');
      });
    }

    const inBackground = profiles.filter((profile) => takes(profile, { background: true }));
    test.each(inBackground)('in %s holds no lock that the command line of the agent waits for', async (profile) => {
      const tokensFile = join(place, 'own/tokens.json');
      const hold = (file: string): string =>
        `{ (exec 9< ${file} && flock 9 && echo held && sleep 60) || echo none; } 2> /dev/null &`;
      const cmd = `${[tokensFile, `${tokensFile}.lock`].map(hold).join(' ')} wait`;
      const { session } = await shellAs(profile, { cmd, background: true });
      await eventually('it has tried both', async () => {
        return String((await readAs(profile, { session }))['stdout']).split('\n').length > 2;
      });
      const as = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'env'];
      const settings = [`AGENT3_TOKENS_FILE=${tokensFile}`, `AGENT3_PROFILES_DIR=${files.join('profiles.d')}`];
      const startedMs = performance.now();
      command([...as, ...settings, BINARY, 'token', 'create', `late-${profile}`, '--profile', 'full']);
      expect(performance.now() - startedMs).toBeLessThan(20_000);
      await callAs(profile, 'close_session', { session });
    });

    test('what A1 did: its own output becomes no program that makes its reader root', async () => {
      const before = heard();
      const cmd = `exec 5>&1 >&2; cat "$A" >&5; "$A" call ${numberOf('fchmod')} 5 ${0o4755}; "$A" pair 2 "$O/datagram"`;
      for (const profile of profiles) await attempt(profile, cmd);
      await Bun.sleep(1500);
      expect(heard()).toBe(before);
    });

    // A group that is not the command's own has no number in its user namespace: cp and tar cannot keep it there.
    test.each([
      ['another group', NOBODY, ''],
      ['its own group', uid, 'cp -a plain copy; mkdir x; tar cf t.tar plain; tar xf t.tar -C x; cat x/plain/deeper/f'],
    ])('a directory below one of %s that passes it on does so as well', async (_, group, more) => {
      const shared = join(workOf('work'), `shared-${group}`);
      mkdirSync(shared);
      chownSync(shared, uid, group);
      chmodSync(shared, 0o2775);
      const cmd = `set -e; cd "${shared}"; mkdir -p plain/deeper; echo x > plain/deeper/f; git init -q --shared r; (umask 002; git init -q --shared group)
git -C r config user.email a@b; git -C r config user.name a; echo y > r/f; git -C r add f; git -C r commit -qm f
install -d installed/deeper; mkdir -p clean; chmod 00755 clean; stat -c %a clean; ${more}`;
      const answer = await shellAs('work', { cmd });
      expect(answer).toMatchObject({ exit_code: 0, stdout: more === '' ? '755\n' : '755\nx\n', stderr: '' });
      const copied = more === '' ? [] : ['copy/deeper', 'x/plain/deeper'];
      for (const path of ['plain/deeper', 'r/.git/objects', ...copied]) {
        const { mode, gid } = statSync(join(shared, path));
        expect({ path, inherits: (mode & 0o2000) !== 0, gid }).toEqual({ path, inherits: true, gid: group });
      }
      // The advice of the page on sandboxes: then nothing is left to be changed.
      expect(statSync(join(shared, 'group/.git/objects')).mode & 0o7777).toBe(0o2775);
      expect(setIds()).toBe('');
    });

    test('a file that others made stays as it is', async () => {
      cpSync('/bin/true', join(workOf('work'), 'theirs'));
      chmodSync(join(workOf('work'), 'theirs'), 0o4755);
      const cmd = `cd ${workOf('work')}; cat theirs > /dev/null; mv theirs moved; stat -c %a moved; rm moved`;
      expect(await shellAs('work', { cmd })).toMatchObject({ stdout: '4755\n', exit_code: 0 });
    });
  },
);
