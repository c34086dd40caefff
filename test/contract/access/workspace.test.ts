import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'python3', 'setfacl');
const canTry = isRoot && missing.length === 0;

const SECRET = 'SUPERSECRET';
/** A user of every Debian that owns nothing: /etc/passwd has it. */
const USER = { name: 'games', uid: 5, gid: 60 };

/** An agent of root with a token for each profile, and a directory that is not below /tmp, which is another inside. */
class Desk implements AsyncDisposable {
  readonly files = new TemporaryDirectory();
  readonly profiles = this.files.join('profiles.d');
  readonly settings = { AGENT3_TOKENS_FILE: this.files.join('tokens.json'), AGENT3_PROFILES_DIR: this.profiles };
  readonly #tokens = new Map<string, string>();
  #agent: Agent | undefined;

  constructor(readonly place: string) {
    mkdirSync(this.profiles);
    mkdirSync(place, { recursive: true });
    chmodSync(place, 0o755);
  }

  profile(name: string, text: string): void {
    writeFileSync(join(this.profiles, `${name}.toml`), text);
  }

  async start(): Promise<void> {
    this.#agent = await startAgent(this.settings);
  }

  async shell(profile: string, cmd: string, more: object = {}): Promise<Record<string, unknown>> {
    let token = this.#tokens.get(profile);
    if (token === undefined) {
      token = (await agent3(['token', 'create', profile, '--profile', profile], this.settings)).stdout.trim();
      this.#tokens.set(profile, token);
    }
    for (;;) {
      const response = await fetch(`${this.#agent?.url}/`, {
        method: 'POST',
        headers: { 'x-auth-token': token },
        body: JSON.stringify({ op: 'shell', args: { cmd, ...more } }),
      });
      // A token that was just made is known within half a second.
      if (response.status !== 403) return { http: response.status, ...((await response.json()) as object) };
      await Bun.sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
    rmSync(this.place, { recursive: true, force: true });
  }
}

/** Makes a directory, and those above it, of an owner and a mode. */
function make(path: string, mode = 0o755, uid = 0, gid = 0): string {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
  chownSync(path, uid, gid);
  return path;
}

function run(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
}

describe.skipIf(!canTry)('the directory of a workspace', () => {
  const desk = new Desk(`/srv/agent3-workspace-${process.pid}`);
  const { place } = desk;
  const at = (name: string): string => join(place, name);
  const workspace = (directory: string, more = ''): string =>
    `extends = "workspace"\ndirectory = "${directory}"\n${more}`;

  /** `make` makes what a row is about and returns the directory; `more` is further lines of the profile. */
  type Row = readonly [what: string, make: () => string, told: string, more?: string];
  const refused: readonly Row[] = [
    [
      'that is a link',
      () => {
        make(at('real'));
        symlinkSync(at('real'), at('a-link'));
        return at('a-link');
      },
      'a symbolic link: write ',
    ],
    [
      'behind a link',
      () => {
        make(at('far/app'));
        symlinkSync(at('far'), at('near'));
        return at('near/app');
      },
      'a symbolic link: write ',
    ],
    ['that is missing', () => at('missing/app'), 'does not exist'],
    [
      'that is a file',
      () => {
        writeFileSync(at('a-file'), '');
        return at('a-file');
      },
      'does not exist',
    ],
    [
      'in the directory of another user',
      () => {
        make(at('theirs'), 0o755, USER.uid);
        return make(at('theirs/app'));
      },
      'owns ',
    ],
    [
      'two levels below the directory of another user',
      () => {
        make(at('theirs2'), 0o755, USER.uid);
        make(at('theirs2/mine'));
        return make(at('theirs2/mine/app'));
      },
      'owns ',
    ],
    [
      'in a directory that all may write to',
      () => {
        make(at('open'), 0o777);
        return make(at('open/app'));
      },
      'mode 0777',
    ],
    [
      'in a directory that a group may write to',
      () => {
        make(at('grouped'), 0o775, 0, USER.gid);
        return make(at('grouped/app'));
      },
      'mode 0775',
    ],
    [
      'of another user, in a sticky directory',
      () => {
        make(at('sticky'), 0o1777);
        return make(at('sticky/app'), 0o755, USER.uid);
      },
      'mode 1777',
    ],
    [
      'in a directory that an access control list opens',
      () => {
        make(at('listed'));
        run('setfacl', '-m', `u:${USER.name}:rwx`, at('listed'));
        return make(at('listed/app'));
      },
      'mode 0775',
    ],
    [
      'in the home of another than its user',
      () => {
        make(at('home'), 0o755, 33);
        return make(at('home/app'), 0o755, USER.uid);
      },
      'owns ',
      `user = "${USER.name}"`,
    ],
  ];
  const accepted: readonly Row[] = [
    ['of root', () => make(at('plain')), ''],
    [
      'of root in a sticky directory',
      () => {
        make(at('sticky2'), 0o1777);
        return make(at('sticky2/app'));
      },
      '',
    ],
    [
      'in the home of its user',
      () => {
        make(at('own'), 0o755, USER.uid);
        return make(at('own/app'), 0o755, USER.uid);
      },
      '',
      `user = "${USER.name}"`,
    ],
    [
      'in a directory that may be entered and not be listed',
      () => {
        make(at('closed'), 0o711);
        return make(at('closed/app'), 0o755, USER.uid);
      },
      '',
      `user = "${USER.name}"`,
    ],
  ];
  const name = (list: string, index: number): string => `${list}${index}`;

  beforeAll(async () => {
    for (const [index, [, makeIt, , more]] of refused.entries())
      desk.profile(name('refused', index), workspace(makeIt(), more));
    for (const [index, [, makeIt, , more]] of accepted.entries())
      desk.profile(name('accepted', index), workspace(makeIt(), more));
    make(at('nest/inner'));
    desk.profile('outer', workspace(at('nest')));
    desk.profile('inner', workspace(at('nest/inner')));
    make(at('mounted/app'));
    make(at('elsewhere'));
    run('mount', '--bind', at('mounted'), at('elsewhere'));
    desk.profile('mounted', workspace(at('mounted')));
    desk.profile('elsewhere', workspace(at('elsewhere/app')));
    make(at('shared'));
    desk.profile('shared1', workspace(at('shared')));
    desk.profile('shared2', workspace(at('shared'), 'network = true'));
    make(at('unlike'));
    desk.profile('unlike1', workspace(at('unlike')));
    desk.profile('unlike2', workspace(at('unlike'), `hide = ["${at('unlike/key')}"]`));
    make(at('swapped'));
    make(at('swapped/app'));
    make(at('victim'));
    symlinkSync(at('victim'), at('swapped/away'));
    desk.profile('swapped', workspace(at('swapped/app')));
    await desk.start();
  });
  afterAll(async () => {
    run('umount', at('elsewhere'));
    await desk[Symbol.asyncDispose]();
  });

  test.each(refused.map(([what, , told], index) => [what, told, index] as const))(
    '%s is refused, and profile check says the same',
    async (_, told, index) => {
      const profile = name('refused', index);
      const answer = await desk.shell(profile, 'touch here');
      expect(answer['message']).toStartWith(`Nothing was run: the profile ${profile} of this token`);
      expect(answer).toMatchObject({ http: 503, message: expect.stringContaining(told) });
      const { code, stdout } = await agent3(['profile', 'check', join(desk.profiles, `${profile}.toml`)]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(told) });
    },
  );

  test.each(accepted.map(([what], index) => [what, index] as const))('%s is taken', async (_, index) => {
    const profile = name('accepted', index);
    expect(await desk.shell(profile, 'touch here && ls')).toMatchObject({ http: 200, stdout: 'here\n' });
    const { code } = await agent3(['profile', 'check', join(desk.profiles, `${profile}.toml`)]);
    expect(code).toBe(0);
  });

  test.each([
    ['inner', ' is inside '],
    ['outer', ' contains '],
    ['mounted', 'by a mount'],
    ['elsewhere', 'by a mount'],
    ['unlike1', 'hide and show the same in both'],
    ['unlike2', 'hide and show the same in both'],
  ])('%s, that another profile has as well or lies in, is refused', async (profile, told) => {
    const answer = await desk.shell(profile, 'touch here');
    expect(answer).toMatchObject({ http: 503, message: expect.stringContaining(told) });
    const { code, stdout } = await agent3(['profile', 'check', '--dir', desk.profiles]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(`✗ ${profile}: `) });
    expect(stdout.split('\n').find((line) => line.startsWith(`✗ ${profile}: `))).toContain(told);
  });

  test('that two profiles share and hide the same in is taken', async () => {
    expect(await desk.shell('shared1', 'echo one > here')).toMatchObject({ http: 200, exit_code: 0 });
    expect(await desk.shell('shared2', 'cat here')).toMatchObject({ http: 200, stdout: 'one\n' });
  });

  test('is the one that was looked at, also while it is swapped with a link', async () => {
    const swap = `import ctypes, time
libc = ctypes.CDLL(None)
while True:
  for _ in range(2): libc.renameat2(-100, b"${at('swapped/app')}", -100, b"${at('swapped/away')}", 2)
  time.sleep(0.0005)`;
    const swapper = Bun.spawn(['python3', '-c', swap]);
    try {
      let ran = 0;
      for (let call = 0; call < 200; call++) {
        const { http } = await desk.shell('swapped', `touch "$PWD/ran"; touch ${at('swapped/app/ran')}`, { cwd: '/' });
        expect([200, 503]).toContain(http as number);
        if (http === 200) ran++;
      }
      expect(ran).toBeGreaterThan(0);
    } finally {
      swapper.kill();
      await swapper.exited;
    }
    expect(existsSync(at('victim/ran'))).toBe(false);
    expect(existsSync('/ran')).toBe(false);
  }, 240_000);
});

describe.skipIf(!canTry)('what is hidden in a workspace stays hidden', () => {
  const desk = new Desk(`/srv/agent3-hidden-${process.pid}`);
  const { place } = desk;
  /** Every directory in /home is a home. */
  const homeOf = (kind: string): string => `/home/agent3-hidden-${process.pid}-${kind}`;

  const kinds = [
    ['root', 0],
    ['user', USER.uid],
  ] as const;
  const put = (path: string, uid = 0): void => {
    make(dirname(path), 0o755, uid);
    writeFileSync(path, `key=${SECRET}\n`);
    chownSync(path, uid, 0);
  };
  const hides = (paths: readonly string[]): string => `hide = ${JSON.stringify(paths)}`;

  /** What the row is about, the profile, and what one call does and the next one reads. */
  type Row = readonly [what: string, first: string, then: string];
  const exchange = (one: string, other: string): string =>
    `mkdir -p ${other}; python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b"${one}", -100, b"${other}", 2)'`;
  const rows: readonly Row[] = [
    ['when the directory above is moved', 'mv config c2', 'cat c2/secret.env'],
    ['when it is renamed by a program', `python3 -c 'import os; os.rename("config", "c2")'`, 'cat c2/secret.env'],
    ['when it is exchanged', exchange('config', 'c2'), 'cat c2/secret.env'],
    ['when it is moved from within', 'cd config; mv ../config ../c2', 'cat c2/secret.env'],
    ['when it is moved by its whole path', `mv $PWD/config $PWD/c2`, 'cat c2/secret.env'],
    ['when it is moved by /proc', 'mv /proc/self/cwd/config c2', 'cat c2/secret.env'],
    ['when it is moved into another', 'mkdir -p other; mv config other/', 'cat other/config/secret.env'],
    ['when the file is moved', 'mv config/secret.env s', 'cat s'],
    ['when the file is exchanged', exchange('config/secret.env', 's'), 'cat s'],
    ['when it is linked', 'ln config/secret.env s', 'cat s'],
    ['when all is linked', 'cp -al config c2', 'cat c2/secret.env'],
    ['when all is copied', 'cp -a config c2', 'cat c2/secret.env'],
    ['when a link leads there', 'ln -s config c2', 'cat c2/secret.env'],
    ['when a link leads to it', 'ln -s config/secret.env s', 'cat s'],
    ['when it is removed and made again', 'rm -rf config; mkdir -p config; touch config/secret.env', 'cat config/*'],
    ['when a level far above is moved', 'mv deep d2', 'cat d2/er/still/secret.env'],
    ['when a level between is moved', 'mv deep/er deep/e2', 'cat deep/e2/still/secret.env'],
    ['when the level right above is moved', 'mv deep/er/still deep/s2', 'cat deep/s2/secret.env'],
    ['when a directory that is hidden is moved', 'mv vault v2', 'cat v2/secret.env'],
    ['when one that is hidden is opened', 'chmod 777 vault; touch vault/mine', 'ls vault; cat vault/secret.env'],
    ['when what a pattern fits is moved', 'mv one.key one.txt', 'cat one.txt'],
    ['when a directory that a pattern fits is moved', 'mv site-1 other-1', 'cat other-1/token'],
    ['when the directory is closed and opened', 'chmod 0 config', 'chmod 755 config; cat config/secret.env'],
    ['when the directory is left without search', 'chmod 644 config', 'chmod 755 config; cat config/secret.env'],
    ['when the workspace is left without its list', 'chmod 300 .', 'chmod 755 .; cat one.key site-1/token'],
    ['when namespaces are asked for', 'unshare -Urm umount config/secret.env', 'cat config/secret.env'],
  ];
  const homeRows: readonly Row[] = [
    ['.config of a home', 'mv .config c2', 'cat c2/gh/hosts.yml'],
    ['.ssh of a home', 'mv .ssh s2', 'cat s2/id_ed25519'],
    ['.cache of a home, two levels', 'mv .cache/huggingface h', 'cat h/token'],
    ['.cache of a home', 'mv .cache c', 'cat c/huggingface/token'],
    ['histories of a home', 'mv .bash_history h; ln .bash_history h2', 'cat h h2'],
    ['a home that may not be listed', 'chmod 300 .', 'chmod 755 .; cat .bash_history'],
  ];
  const SECRETS = ['config/secret.env', 'deep/er/still/secret.env', 'vault/secret.env', 'one.key', 'site-1/token'];
  const HOME_SECRETS = ['.config/gh/hosts.yml', '.ssh/id_ed25519', '.cache/huggingface/token', '.bash_history'];

  beforeAll(async () => {
    const profileOf = (directory: string, more: string): string =>
      `extends = "workspace"\ndirectory = "${directory}"\nmask = false\n${more}`;
    for (const kind of ['root', 'user']) {
      const directory = join(place, kind);
      const names = [...SECRETS.slice(0, 2), 'vault', '*.key', 'site-*/token', 'later/secret.env', 'link/secret.env'];
      const user = kind === 'user' ? `user = "${USER.name}"\n` : '';
      desk.profile(kind, profileOf(directory, user + hides(names.map((path) => join(directory, path)))));
      desk.profile(`home-${kind}`, profileOf(homeOf(kind), user));
    }
    for (const [kind, uid] of kinds) make(homeOf(kind), 0o755, uid);
    await desk.start();
  });
  afterAll(async () => {
    await desk[Symbol.asyncDispose]();
    for (const [kind] of kinds) rmSync(homeOf(kind), { recursive: true, force: true });
  });
  /** Everything as it was, in a workspace or a home that lies right below /home. */
  const lay = (directory: string, secrets: readonly string[], uid: number): void => {
    rmSync(directory, { recursive: true, force: true });
    make(directory, 0o755, uid);
    for (const path of secrets) {
      put(join(directory, path), uid);
      for (let above = dirname(path); above !== '.'; above = dirname(above)) chownSync(join(directory, above), uid, 0);
    }
  };

  const all = (list: readonly Row[]) =>
    kinds.flatMap(([kind, uid]) => list.map(([what, first, then]) => [kind, what, uid, first, then] as const));

  test.each(all(rows))('from %s, %s', async (kind, _, uid, first, then) => {
    const directory = join(place, kind);
    lay(directory, SECRETS, uid);
    const before = await desk.shell(kind, first);
    expect([200, 503]).toContain(before['http'] as number);
    for (const answer of [await desk.shell(kind, then), await desk.shell(kind, 'grep -r . .; cat */* *')]) {
      expect(JSON.stringify(answer)).not.toContain(SECRET);
    }
    chmodSync(directory, 0o755);
    for (const path of SECRETS.slice(0, 4)) chmodSync(dirname(join(directory, path)), 0o755);
    for (const path of SECRETS) expect(readFileSync(join(directory, path), 'utf8')).toContain(SECRET);
  });

  test('a name that is not there yet has its directory held all the same', async () => {
    const directory = join(place, 'root');
    lay(directory, SECRETS, 0);
    make(join(directory, 'later'));
    expect(await desk.shell('root', 'mv later l2')).toMatchObject({ http: 200, exit_code: 1 });
    put(join(directory, 'later/secret.env'));
    expect(await desk.shell('root', 'mv later l2; cat */secret.env')).toMatchObject({ stdout: '' });
  });

  test.each(kinds)(
    'from %s, a link on the way to a hidden name is refused: commands could turn it',
    async (kind, uid) => {
      const directory = join(place, kind);
      lay(directory, SECRETS, uid);
      put(join(directory, 'target/secret.env'), uid);
      expect(await desk.shell(kind, 'ln -s target link')).toMatchObject({ http: 200 });
      const message = expect.stringContaining(`${join(directory, 'link')} is a symbolic link`);
      for (const cmd of ['rm link; cat target/secret.env', 'true'])
        expect(await desk.shell(kind, cmd)).toMatchObject({ http: 503, message });
      const { code, stdout } = await agent3(['profile', 'check', join(desk.profiles, `${kind}.toml`)]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining('is a symbolic link') });
    },
  );

  test('a hard link from before is told by profile check', async () => {
    const directory = join(place, 'root');
    lay(directory, SECRETS, 0);
    linkSync(join(directory, 'config/secret.env'), join(directory, 'again'));
    const { stdout } = await agent3(['profile', 'check', join(desk.profiles, 'root.toml')]);
    expect(stdout).toContain(`${join(directory, 'config/secret.env')} has 2 names (hard links)`);
  });

  test('a directory that root may not write to in a sandbox is told by profile check', async () => {
    const directory = join(place, 'root');
    lay(directory, SECRETS, 0);
    chownSync(directory, USER.uid, USER.uid);
    try {
      expect(await desk.shell('root', 'touch x')).toMatchObject({ http: 200, exit_code: 1 });
      const { code, stdout } = await agent3(['profile', 'check', join(desk.profiles, 'root.toml')]);
      const fault = `the user root may not write to ${directory} in a sandbox, where it is a user like others`;
      expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(fault) });
    } finally {
      chownSync(directory, 0, 0);
    }
    const { code } = await agent3(['profile', 'check', join(desk.profiles, 'root.toml')]);
    expect(code).toBe(0);
  });

  test('what the owner moves himself and puts back is found again', async () => {
    const directory = join(place, 'root');
    lay(directory, SECRETS, 0);
    renameSync(join(directory, 'config'), join(directory, 'away'));
    renameSync(join(directory, 'away'), join(directory, 'config'));
    expect(await desk.shell('root', 'test -e config/secret.env && cat config/secret.env')).toMatchObject({
      stdout: '',
    });
    expect(await desk.shell('root', 'mv config c2')).toMatchObject({ exit_code: 1 });
  });

  test.each(all(homeRows))('of a home, from %s: %s', async (kind, _, uid, first, then) => {
    const directory = homeOf(kind);
    lay(directory, HOME_SECRETS, uid);
    await desk.shell(`home-${kind}`, first);
    const answers = [await desk.shell(`home-${kind}`, then), await desk.shell(`home-${kind}`, 'grep -r . .; cat */*')];
    expect(JSON.stringify(answers)).not.toContain(SECRET);
  });
});
