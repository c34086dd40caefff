import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, closeSync, constants, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOOK_USER } from '../../../src/lib/look-user.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { command, ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'ip', 'perl');

/** Whether the kernel has Landlock: asked for its version, it names one. */
const hasLandlock = missing.length === 0 && command(['perl', '-e', 'print syscall(444, 0, 0, 1)']).toString() !== '-1';

/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';

const PROFILES = {
  'asks.toml':
    'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "uptime"\n[[rules]]\naction = "deny"\ncommand = "df"\n',
  'lone.toml': 'extends = "full"\noperations = ["look"]\n',
  'none.toml': 'extends = "full"\noperations = ["shell"]\n',
  'hides.toml': 'hide = ["/srv/agent3-look-hidden"]\n',
  'brief.toml': 'extends = "full"\n[limits]\nexec_seconds = 1\nbackground_seconds = 0\n',
};
const HIDDEN = '/srv/agent3-look-hidden';
/** Looks like a token of GitHub, but is not one. */
const SECRET = `ghp_${'Ab3'.repeat(12)}`;

const AGENTS: readonly (readonly [who: string, uid: number])[] = [
  ['root', 0],
  ['daemon', 1],
];

describe.skipIf(!isRoot || missing.length > 0).each([...AGENTS])('look, of an agent that is %s,', (who, uid) => {
  const directory = new TemporaryDirectory();
  const tokens: Record<string, string> = {};
  let agent: Agent;

  beforeAll(async () => {
    mkdirSync(HIDDEN, { recursive: true });
    writeFileSync(join(HIDDEN, 'file'), 'HIDDEN');
    const settings = {
      AGENT3_TOKENS_FILE: directory.join('tokens.json'),
      AGENT3_PROFILES_DIR: directory.join('profiles.d'),
    };
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    chmodSync(directory.path, 0o755);
    for (const [file, text] of Object.entries(PROFILES)) writeFileSync(join(settings.AGENT3_PROFILES_DIR, file), text);
    for (const profile of ['full', 'readonly', ...Object.keys(PROFILES).map((file) => file.replace('.toml', ''))])
      tokens[profile] = (await agent3(['token', 'create', profile, '--profile', profile], settings)).stdout.trim();
    command(['chown', '-R', `${uid}:${uid}`, directory.path]);
    const audit = { AGENT3_AUDIT_FILE: directory.join('audit.jsonl') };
    agent = await startAgent({ ...settings, ...audit }, uid === 0 ? [] : ['sh', '-c', BECOME, String(uid)]);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
    rmSync(HIDDEN, { recursive: true, force: true });
  });

  const callAs = async (profile: string, op: string, args: object): Promise<Record<string, unknown>> => {
    const headers = { 'x-auth-token': tokens[profile] ?? '' };
    const response = await fetch(`${agent.url}/`, { method: 'POST', headers, body: JSON.stringify({ op, args }) });
    return { http: response.status, ...((await response.json()) as object) };
  };
  const look = (cmd: string, args: object = {}, profile = 'full') => callAs(profile, 'look', { cmd, ...args });

  test('runs as the user that reads', async () => {
    const user = uid === 0 ? LOOK_USER : who;
    expect(await look('id -un; exit 3')).toMatchObject({ http: 200, stdout: `${user}\n`, exit_code: 3 });
  });

  test('writes into no named pipe of the machine, and neither does readonly', async () => {
    const pipe = join(HIDDEN, '..', `agent3-look-pipe-${uid}`);
    rmSync(pipe, { force: true });
    command(['mkfifo', '-m', '666', pipe]);
    // Open for reading too: who may write does so at once.
    const reading = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const cmd = [
      `echo escaped > ${pipe} && echo ESCAPED; ( : >> ${pipe} ) && echo ESCAPED; perl -e 'open F, "+<", "${pipe}" and print "ESCAPED"'`,
      // What it still writes to.
      'echo null > /dev/null; echo own > /tmp/f; cat /tmp/f; mkdir /tmp/d; ln /tmp/f /tmp/d/f && mv /tmp/d/f /tmp/g && rm /tmp/g; mkfifo /tmp/p; (echo pipe > /tmp/p &); cat /tmp/p',
      'cat <(echo sub); cat <<< here; echo out >> /dev/stdout; echo err >> /dev/stderr; echo again | tee -a /dev/stderr',
    ].join('; ');
    const wanted = hasLandlock ? 'own\npipe\nsub\nhere\nout\nagain\n' : expect.stringContaining('again\n');
    const ran = [await look(cmd), await callAs('readonly', 'shell', { cmd })];
    for (const { stdout, stderr } of ran)
      expect({ stdout, stderr }).toEqual({
        stdout: wanted,
        stderr: expect.stringMatching(/^(?![\s\S]*cross-device)[\s\S]*err\nagain\n$/),
      } as never);
    const terminal = await callAs('readonly', 'shell', { cmd: 'echo typed > /dev/tty', pty: true });
    expect(terminal).toMatchObject({ stdout: expect.stringContaining('typed'), exit_code: 0 });
    closeSync(reading);
    rmSync(pipe);
  });

  test('refuses a directory that it has not, and names the call that has it', async () => {
    const none = await look('ls', { cwd: '/nonexistent' });
    expect(none).toMatchObject({ http: 400, error: 'Invalid args' });
    if (uid === 0) expect(none['message']).toEndWith('Call look again with another cwd.');
    const temporary = await look('ls', { cwd: directory.path });
    expect(temporary).toMatchObject({ http: 400, error: 'Invalid args' });
    expect(temporary['message']).toEndWith('Call shell with the same cwd.');
  });

  test('sees the processes of the machine, by name and words', async () => {
    const { stdout, exit_code } = await look(`ps -o pid=,args= -p ${process.pid}; ps -e | wc -l`);
    const [own, count] = String(stdout).trim().split('\n');
    expect({ exit_code, own }).toEqual({
      exit_code: 0,
      own: expect.stringMatching(new RegExp(`^\\s*${process.pid} .*bun`)),
    });
    const all = Number(command(['sh', '-c', 'ps -e | wc -l']));
    expect(Number(count)).toBeGreaterThan(all / 2);
  });

  test('sees the ports and addresses of the machine', async () => {
    const port = new URL(agent.url).port;
    expect((await look('ss -tln'))['stdout']).toContain(`:${port} `);
    expect((await look('cat /proc/net/tcp'))['stdout']).toContain(
      Number(port).toString(16).toUpperCase().padStart(4, '0'),
    );
    expect((await look('ip -br address'))['stdout']).toBe(command(['ip', '-br', 'address']));
    expect((await look('ip route'))['stdout']).toBe(command(['ip', 'route']));
  });

  test('says that it shows other users as nobody', async () => {
    const answer = await look('ps -o user= -p 1; stat -c %U /etc/passwd');
    expect(answer).toMatchObject({
      stdout: 'nobody\nnobody\n',
      message: expect.stringContaining('shows other users as nobody'),
    });
  });

  test('sees disks and memory', async () => {
    expect((await look('df /'))['stdout']).toContain('Mounted on');
    expect((await look('free -m'))['stdout']).toContain('Mem:');
  });

  test('takes input and a directory', async () => {
    expect(await look('pwd; cat', { stdin: 'given\n', cwd: '/usr' })).toMatchObject({ stdout: '/usr\ngiven\n' });
  });

  test('has no network, and says so', async () => {
    const answer = await look(`curl -sS ${agent.url}/healthz`);
    expect(answer).toMatchObject({ stdout: '', message: expect.stringContaining('look has no network') });
    for (const family of [2, 10])
      expect(await look(`perl -e 'use Socket; socket(S, ${family}, SOCK_STREAM, 0) and print "MADE"'`)).toMatchObject({
        stdout: '',
      });
  });

  test('does not see /tmp, and says so', async () => {
    expect(await look('cat /tmp/some/file')).toMatchObject({
      exit_code: 1,
      message: expect.stringContaining('look begins with an empty /tmp'),
    });
    expect(await look('cat /srv/no-such-file')).not.toHaveProperty('message');
  });

  test('changes no file, and says so', async () => {
    const answer = await look('echo x > /srv/agent3-look-written; touch /var/tmp/own && echo own');
    expect(answer).toMatchObject({ stdout: 'own\n', message: expect.stringContaining('look changes nothing') });
    expect(command(['ls', '/srv', '/var/tmp'])).not.toContain('agent3-look-written');
  });

  test('changes nothing of how the network is', async () => {
    const before = command(['ip', 'address']);
    const { stdout } = await look(
      'ip link set lo down && echo ESCAPED; ip address add 10.9.8.7/32 dev lo && echo ESCAPED; ip route add 10.9.8.0/24 dev lo && echo ESCAPED; ss -K dst 127.0.0.1 | grep -c ESTAB',
    );
    expect(stdout).not.toContain('ESCAPED');
    expect(command(['ip', 'address'])).toBe(before);
  });

  test('stops no process of the machine', async () => {
    await using sleeper = Bun.spawn(
      uid === 0 ? ['sleep', '1000'] : ['setpriv', `--reuid=${uid}`, '--clear-groups', 'sleep', '1000'],
    );
    await eventually('it sleeps', () => command(['ps', '-o', 'comm=', '-p', String(sleeper.pid)]).includes('sleep'));
    const { exit_code } = await look(`kill -9 ${sleeper.pid} || pkill -9 -f 'sleep 1000'; kill -0 ${sleeper.pid}`);
    expect({ exit_code, ended: sleeper.exitCode ?? sleeper.signalCode }).toEqual({ exit_code: 1, ended: null });
  });

  test('leaves no process behind, also none that left its session or cleared its environment, and keeps its last output', async () => {
    const leave =
      "(setsid sleep 4711 > /dev/null 2>&1 &); env -i setsid -f sleep 4711 > /dev/null 2>&1; (trap '' TERM HUP; sleep 4711) &";
    // The last writes get a fifth of a second, in which a busy machine may not come to them.
    await eventually('the last output is in an answer', async () => {
      const answer = await look(`${leave} echo out > >(sleep 0.05; cat)`);
      const left = command(['sh', '-c', "pgrep -cxf 'sleep 4711' || true"]).trim();
      expect({ ...answer, left }).toMatchObject({ http: 200, status: 'done', exit_code: 0, left: '0' });
      expect(answer).not.toHaveProperty('message');
      return answer['stdout'] === 'out\n';
    });
  });

  test('keeps nobody from a file by a lock', async () => {
    const file = join(HIDDEN, 'locked');
    writeFileSync(file, 'LOCKED', { mode: 0o644 });
    const done = join(HIDDEN, 'released');
    const asks = (flags: string, types: string) =>
      `use Fcntl qw(:DEFAULT :flock); open F, "${flags}", "${file}" or die; ${types.replace(/(F_\w+LCK)/, 'my $l = pack("ssx4qqlx4", $1, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die "fcntl $!"')}`;
    // Who reads with a shared lock hears that it has one.
    const reader = asks('<', 'flock(F, LOCK_SH | LOCK_NB) or die "flock $!"; F_RDLCK');
    const held = look(
      `exec 9< ${file}; flock -n -x 9 && echo ESCAPED; perl -e '${reader}; $| = 1; print <F>; system "sleep", "0.02" until -e "${done}"'`,
    );
    try {
      await eventually('it holds', () =>
        command(['sh', '-c', "pgrep -cf '^perl .*unti[l] -e' || true"]).trim() === '1' ? true : undefined,
      );
      const owner = asks('+<', 'flock(F, LOCK_EX | LOCK_NB) or die "flock $!"; F_WRLCK; print "free"');
      expect(command(['perl', '-e', owner])).toBe('free');
    } finally {
      writeFileSync(done, '');
    }
    expect(await held).toMatchObject({ exit_code: 0, stdout: 'LOCKED' });
    rmSync(done);
  });

  test('reads no environment, directory or file of another process, also not of the same user', async () => {
    const env = { HELD: 'SECRET-IN-ENVIRONMENT' };
    const begun = await callAs('full', 'shell', { cmd: 'exec sleep 60', env, background: true });
    const pid = await eventually(
      'it runs',
      () => command(['sh', '-c', 'pgrep -n -x sleep || true']).trim() || undefined,
    );
    const { stdout } = await look(
      `cat /proc/${pid}/environ /proc/*/environ | tr '\\0' '\\n' | grep HELD; ls /proc/${pid}/root/ /proc/${pid}/cwd/; readlink /proc/${pid}/fd/* /proc/${pid}/cwd /proc/${pid}/exe; cat /proc/${pid}/maps; ls /proc/1/root/ && echo ESCAPED`,
    );
    expect(stdout).toBe('');
    await callAs('full', 'close_session', { session: begun['session'] });
  });

  test('reads nothing of another command that looks at the same time', async () => {
    const held = look('exec 9< /dev/null; sleep 4; echo ended', { stdin: 'x' });
    const pid = await eventually(
      'it runs',
      () => command(['sh', '-c', "pgrep -n -xf 'sleep 4' || true"]).trim() || undefined,
    );
    const { stdout } = await look(
      `ls /proc/${pid}/root/; readlink /proc/${pid}/fd/*; cat /proc/${pid}/fd/0; tr '\\0' '\\n' < /proc/${pid}/environ`,
    );
    expect(stdout).toBe('');
    expect(await held).toMatchObject({ stdout: 'ended\n' });
  });

  test('masks secrets, also where the profile does not, in every answer', async () => {
    const cmd = `echo ${SECRET}; seq 40000 | sed 's/$/ ${SECRET}/'`;
    const answer = await look(cmd);
    expect(answer).toMatchObject({ http: 200, truncated: true });
    expect(answer['stdout']).not.toContain(SECRET);
    const { session } = answer;
    const read = await callAs('full', 'read_session', { session, offset: 100_000, limit: 1000 });
    expect(String(read['stdout'])).toMatch(/^[\d\s‹]/);
    expect(read['stdout']).not.toContain(SECRET);
    const found = await callAs('full', 'read_session', { session, match: '^777 ' });
    expect(JSON.stringify(found)).not.toContain(SECRET);
    const headers = { 'x-auth-token': tokens['full'] ?? '' };
    const followed = await (await fetch(`${agent.url}/sessions/${session}/stream`, { headers })).text();
    expect(followed.length).toBeGreaterThan(1000);
    expect(followed).not.toContain(SECRET);
    expect(await callAs('full', 'shell', { cmd: `echo ${SECRET}` })).toMatchObject({ stdout: `${SECRET}\n` });
  });

  test('is refused what a rule denies, and what a person would have to approve', async () => {
    expect(await look('df', {}, 'asks')).toMatchObject({ status: 'denied', stdout: '' });
    const asked = await look('uptime', {}, 'asks');
    expect(asked).toMatchObject({ status: 'denied', stdout: '', stderr: expect.stringContaining('look asks nobody') });
    expect(await look('echo ok', {}, 'asks')).toMatchObject({ stdout: 'ok\n' });
  });

  test('holds to the operations, the hidden paths and the limits of the profile', async () => {
    expect(await look('echo ok', {}, 'lone')).toMatchObject({ stdout: 'ok\n' });
    expect(await callAs('lone', 'shell', { cmd: 'true' })).toMatchObject({ error: 'Forbidden' });
    expect(await look('true', {}, 'none')).toMatchObject({ error: 'Forbidden' });
    expect(await look(`cat ${HIDDEN}/file`)).toMatchObject({ stdout: 'HIDDEN' });
    expect(await look(`ls ${HIDDEN}; cat ${HIDDEN}/file`, {}, 'hides')).toMatchObject({
      stdout: '',
      message: `look hides ${HIDDEN}.`,
    });
    expect(await look('sleep 30', {}, 'brief')).toMatchObject({ exit_code: 124 });
  });

  test('says that a path is hidden, whether it is there or not', async () => {
    for (const cmd of ['ls /root/.ssh', 'cat /root/.ssh/nobody-has-this 2>&1; true', "head -1 '/etc/shadow'"])
      expect(await look(cmd)).toMatchObject({
        message: expect.stringMatching(/^look hides \S+\. Run it with shell\.$/),
      });
    expect(await look('cat ../root/.ssh/id', { cwd: '/srv' })).toMatchObject({
      message: 'look hides /root/.ssh/id. Run it with shell.',
    });
    expect(await look('head -1 /etc/passwd; echo a/b; true')).not.toHaveProperty('message');
  });

  test('shows a screen without the blanks that fill it up, and a file as it is', async () => {
    expect(await look("printf 'PID   \\n 1   \\n' # top")).toMatchObject({ stdout: 'PID\n 1\n' });
    expect(await look("printf 'a  \\n'")).toMatchObject({ stdout: 'a  \n' });
  });

  test('ignores what only shell has', async () => {
    const answer = await look('echo "$X"', { env: { X: 'given' }, pty: true });
    expect(answer).toMatchObject({ stdout: '\n', message: expect.stringContaining('Unknown arguments') });
  });

  test('says what it does not show', async () => {
    expect(await look('systemctl status')).toMatchObject({
      message: expect.stringContaining('does not show services'),
    });
  });

  if (uid === 0) {
    test('says whose rights it reads with, where those are not enough', async () => {
      writeFileSync(join(HIDDEN, 'private'), 'PRIVATE', { mode: 0o600 });
      const answer = await look(`cat ${HIDDEN}/private`);
      expect(answer).toMatchObject({
        stdout: '',
        message: 'look reads only what agent3-look may read. Run it with shell.',
      });
    });
  }

  test('says that it reaches no other program', async () => {
    const said = 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?';
    expect(await look(`echo '${said}' >&2; exit 1`)).toMatchObject({
      message: 'look cannot connect to other programs. Run it with shell.',
    });
  });

  test('is on record with its user and its sandbox', async () => {
    const { session } = await look('true # on record');
    const lines = command(['cat', directory.join('audit.jsonl')]).split('\n');
    expect(lines.find((line) => line.includes(String(session)))).toContain('"sandbox":true');
  });
});
