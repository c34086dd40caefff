import { describe, expect, test } from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pageFiles } from '../../src/console/page-files.ts';
import { INVENTORY } from '../../src/install/inventory.ts';
import { PATHS } from '../../src/install/layout.ts';
import { BINARY } from '../helpers/binary.ts';
import { agent3 } from '../helpers/cli.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

/** The files and links of an image, by their paths in it. */
function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

const SCRIPT = join(import.meta.dir, '../../ops/install');

/** A bundle whose executables only say which one they are, and a machine that `uname` describes. */
class Bundle implements Disposable {
  readonly #directory = new TemporaryDirectory();

  constructor(executables: Readonly<Record<string, string>>, machine: string) {
    mkdirSync(this.#directory.join('ops'));
    mkdirSync(this.#directory.join('bin'));
    copyFileSync(SCRIPT, this.#directory.join('ops/install'));
    for (const [name, script] of Object.entries(executables)) this.#script(name, script);
    this.#script('bin/uname', `[ "$1" = -s ] && echo Linux || echo ${machine}`);
  }

  run(...args: string[]) {
    const { exitCode, stdout, stderr } = Bun.spawnSync(['sh', this.#directory.join('ops/install'), ...args], {
      env: { PATH: `${this.#directory.join('bin')}:/usr/bin:/bin` },
    });
    return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  #script(name: string, script: string): void {
    writeFileSync(this.#directory.join(name), `#!/bin/sh\n${script}\n`);
    chmodSync(this.#directory.join(name), 0o755);
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

describe('ops/install', () => {
  test('hands over to the executable of this machine, with all arguments', () => {
    using bundle = new Bundle(
      { 'agent3-linux-arm64': 'echo "arm64 $*"', 'agent3-linux-x64': 'echo "x64 $*"' },
      'aarch64',
    );
    expect(bundle.run('--domain', 'a b')).toMatchObject({ code: 0, stdout: 'arm64 install --domain a b\n' });
  });

  test('takes the one of a bundle for one machine', () => {
    using bundle = new Bundle({ agent3: 'echo "$*"' }, 'x86_64');
    expect(bundle.run()).toMatchObject({ code: 0, stdout: 'install\n' });
  });

  test('passes the exit code on', () => {
    using bundle = new Bundle({ agent3: '[ "$1" = --version ] || exit 2' }, 'x86_64');
    expect(bundle.run().code).toBe(2);
  });

  test('says that there is no executable for an unknown architecture', () => {
    using bundle = new Bundle({ agent3: 'echo ran' }, 'riscv64');
    expect(bundle.run()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('no executable for riscv64'),
    });
  });

  test('says which bundle to take when this one is for another machine', () => {
    using bundle = new Bundle({ agent3: 'exit 126' }, 'aarch64');
    expect(bundle.run()).toMatchObject({ code: 1, stderr: expect.stringContaining('agent3-VERSION-linux-arm64') });
  });
});

describe('agent3 install --root', () => {
  test('stages everything that an image needs, and a second time changes nothing', async () => {
    using root = new TemporaryDirectory();
    const first = await agent3(['install', '--root', root.path, '--port', '5009']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/Token {5}\S{43}/);
    expect(readFileSync(root.join('etc/agent3/agent3.env'), 'utf8')).toContain('\nAGENT3_PORT=5009\n');
    // Anyone who has the image would have it for every machine that is made from it.
    expect(readFileSync(root.join('etc/agent3/agent3.env'), 'utf8')).toContain('\nAGENT3_GRANT_KEY=\n');
    expect(readFileSync(root.join('etc/agent3/console.env'), 'utf8')).toContain('\nAGENT3_CONSOLE_KEY=\n');
    expect(statSync(root.join('etc/agent3/agent3.env')).mode & 0o777).toBe(0o600);
    expect(readFileSync(root.join('usr/local/bin/agent3')).equals(readFileSync(BINARY))).toBe(true);
    // Nobody but root reads it: ops/docs/security.md.
    const executable = root.join('usr/local/bin/agent3');
    expect(statSync(executable).mode & 0o777).toBe(0o711);
    expect(readlinkSync(root.join('etc/systemd/system/multi-user.target.wants/agent3.service'))).toBe(
      '/etc/systemd/system/agent3.service',
    );
    expect(readFileSync(root.join('usr/lib/sysusers.d/agent3.conf'), 'utf8')).toContain('\nu agent3 ');
    const second = await agent3(['install', '--root', root.path]);
    expect(second.stdout).toStartWith('Agent3 is installed in the image');
    // As an installation before had it.
    chmodSync(executable, 0o755);
    await agent3(['install', '--root', root.path]);
    expect(statSync(executable).mode & 0o777).toBe(0o711);
    const removed = await agent3(['uninstall', '--root', root.path, '--purge']);
    expect(removed.code).toBe(0);
    expect(existsSync(root.join('etc/agent3'))).toBe(false);
    expect(filesBelow(root.path)).toEqual([]);
  });

  test('stages nothing that the table of what is added to a server does not have', async () => {
    using root = new TemporaryDirectory();
    mkdirSync(root.join('etc'));
    writeFileSync(root.join('etc/group'), 'root:x:0:\nadm:x:4:\n');
    const { code } = await agent3(['install', '--root', root.path, '--user', 'root']);
    expect(code).toBe(0);
    const page = Object.keys(pageFiles()).map((name) => `${PATHS.page}/${name}`);
    const names = new Set([...INVENTORY.map(({ name }) => name), ...page]);
    expect(filesBelow(root.path).filter((path) => path !== '/etc/group' && !names.has(path))).toEqual([]);
    const users = readFileSync(root.join('usr/lib/sysusers.d/agent3.conf'), 'utf8');
    expect(users).toContain('u agent3-look - ');
    expect(users.match(/^m .*/gm)).toEqual(['m agent3-look adm']);
  });

  test('makes the key of the record, also where an upgrade finds none, and keeps one that is there', async () => {
    using root = new TemporaryDirectory();
    const settings = root.join('etc/agent3/agent3.env');
    const keyOf = (): string | undefined => /^AGENT3_AUDIT_KEY=(\S{43})$/m.exec(readFileSync(settings, 'utf8'))?.[1];
    const told = [(await agent3(['install', '--root', root.path])).stdout];
    const key = keyOf();
    expect(key).toBeString();
    told.push((await agent3(['install', '--root', root.path])).stdout);
    expect(keyOf()).toBe(key ?? '');
    writeFileSync(settings, 'AGENT3_API_TOKEN=a-token-of-an-earlier-version\nAGENT3_PORT=5009\n');
    told.push((await agent3(['install', '--root', root.path, '--dry-run'])).stdout);
    expect(keyOf()).toBeUndefined();
    told.push((await agent3(['install', '--root', root.path])).stdout);
    const made = keyOf();
    expect(made).toBeString();
    expect(made).not.toBe(key ?? '');
    expect(readFileSync(settings, 'utf8')).toStartWith(
      'AGENT3_API_TOKEN=a-token-of-an-earlier-version\nAGENT3_PORT=5009\n',
    );
    expect(told.join()).not.toMatch(/AGENT3_AUDIT_KEY=[\w-]{43}/);
  });

  test('has logrotate number the files of the record, whatever its global settings say', async () => {
    using root = new TemporaryDirectory();
    await agent3(['install', '--root', root.path]);
    const text = readFileSync(root.join('etc/logrotate.d/agent3'), 'utf8');
    expect(text.slice(text.indexOf('/var/log/agent3/audit.jsonl {'))).toContain('\n    nodateext\n');
  });

  const faulty: readonly [token: string, told: string][] = [
    ['with a space inside', 'it has a space in it'],
    ['sixteen-and-ümlaut', 'it has the character "ü" in it'],
    ['a-zero-width\u200bspace', 'it has the character'],
    ['short', 'it has 5 characters'],
    ['x'.repeat(513), 'it has 513 characters'],
  ];
  test.each(faulty)('refuses the token %j, and says why', async (token, told) => {
    using root = new TemporaryDirectory();
    const { code, stderr } = await agent3(['install', '--root', root.join('image'), '--token', token]);
    expect(code).toBe(1);
    expect(stderr).toContain(told);
    expect(stderr).toContain('16 to 512');
    expect(existsSync(root.join('image'))).toBe(false);
  });

  /** Links of an image, by their paths in it; `OUTSIDE` is a directory next to the image. */
  const led: readonly (readonly [what: string, links: Record<string, string>])[] = [
    ['an absolute link', { 'etc/systemd': 'OUTSIDE' }],
    ['a link of a whole directory', { etc: 'OUTSIDE' }],
    ['a link upwards', { 'etc/systemd': '../../../outside' }],
    ['links one behind the other', { 'etc/systemd': '/srv/next', 'srv/next': 'last', 'srv/last': 'OUTSIDE' }],
    ['a link in the place of a file', { 'etc/agent3/agent3.env': 'OUTSIDE/settings' }],
    ['a link next to a file', { 'etc/agent3/agent3.env.agent3-new': 'OUTSIDE/settings' }],
    ['a link next to the executable', { 'usr/local/bin/agent3.agent3-new': 'OUTSIDE/agent3' }],
    ['a link to a file', { 'etc/group': 'OUTSIDE/group' }],
  ];
  test.each(led)('changes nothing outside of the image, whatever its links are: %s', async (_, links) => {
    using directory = new TemporaryDirectory();
    const outside = directory.join('outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'settings'), 'AGENT3_API_TOKEN=of-the-machine-itself\n');
    const image = directory.join('image');
    for (const [path, to] of Object.entries(links)) {
      mkdirSync(join(image, path, '..'), { recursive: true });
      symlinkSync(to.replace('OUTSIDE', outside), join(image, path));
    }
    for (const words of [['install'], ['install'], ['uninstall'], ['install'], ['uninstall', '--purge']]) {
      await agent3([...words, '--root', image]);
      expect(filesBelow(outside)).toEqual(['/settings']);
      expect(readFileSync(join(outside, 'settings'), 'utf8')).toBe('AGENT3_API_TOKEN=of-the-machine-itself\n');
    }
    // Links are not followed here, as filesBelow does.
    const found = Bun.spawnSync(['grep', '-rl', 'of-the-machine-itself', image]);
    expect(found.stdout.toString()).toBe('');
  });

  test('follows the links of an image as the image does when it runs', async () => {
    using root = new TemporaryDirectory();
    for (const path of ['usr/lib', 'srv/systemd', 'run']) mkdirSync(root.join(path), { recursive: true });
    mkdirSync(root.join('etc'));
    mkdirSync(root.join('var'));
    symlinkSync('usr/lib', root.join('lib'));
    symlinkSync('/run', root.join('var/run'));
    symlinkSync('/srv/systemd', root.join('etc/systemd'));
    expect((await agent3(['install', '--root', root.path])).code).toBe(0);
    expect(existsSync(root.join('srv/systemd/system/agent3.service'))).toBe(true);
    const status = await agent3(['status', '--root', root.path]);
    expect(status.stdout).toContain('staged, for');
    const asJson = await agent3(['status', '--json', '--root', root.path]);
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      binary: '/usr/local/bin/agent3',
      user: 'agent3',
      url: 'http://127.0.0.1:5000/healthz',
      service: null,
    });
    expect((await agent3(['uninstall', '--root', root.path, '--purge'])).code).toBe(0);
    expect(await agent3(['status', '--json', '--root', root.path])).toMatchObject({ code: 1, stdout: 'null\n' });
    const left = Bun.spawnSync(['find', root.path, '-not', '-type', 'd', '-printf', '/%P\n']).stdout.toString();
    expect(left.trim().split('\n').sort()).toEqual(['/etc/systemd', '/lib', '/var/run']);
  });

  test('tells of links that lead nowhere', async () => {
    using root = new TemporaryDirectory();
    mkdirSync(root.join('etc'));
    symlinkSync('systemd', root.join('etc/systemd'));
    const { code, stderr } = await agent3(['install', '--root', root.path]);
    expect(code).toBe(1);
    expect(stderr).toContain('leads through a loop of symbolic links');
  });

  test('takes over the Flask agent of an image, with its user and its token', async () => {
    using root = new TemporaryDirectory();
    const put = (path: string, text: string): void => {
      mkdirSync(join(root.join(path), '..'), { recursive: true });
      writeFileSync(root.join(path), text);
    };
    put('etc/systemd/system/agent3.service', '[Service]\nWorkingDirectory=/opt/a\nExecStart=/usr/bin/python3 app.py\n');
    put('etc/systemd/system/agent3.service.d/override.conf', '[Service]\nEnvironment=PORT=5050\n');
    put('opt/a/app.py', "TOKEN = os.environ['GPT_KEY']\nif request.headers['X-Auth-Token'] != TOKEN: abort(401)\n");
    put('opt/a/.env', "GPT_KEY='the-token-$of`the\"old' # mine\n");
    const { stdout, code } = await agent3(['install', '--root', root.path]);
    expect(code).toBe(0);
    expect(stdout).toContain('its token (GPT_KEY) stays valid');
    expect(stdout).toContain('For fewer rights: agent3 install --user agent3');
    expect(stdout).toContain('To go back to it: sh /etc/agent3/original/restore');
    expect(stdout).not.toContain('its token was not found');
    const settings = readFileSync(root.join('etc/agent3/agent3.env'), 'utf8');
    expect(settings).toContain(`\nAGENT3_API_TOKEN='the-token-$of\`the"old'\n`);
    expect(settings).toContain('\nAGENT3_PORT=5050\n');
    expect(readFileSync(root.join('etc/systemd/system/agent3.service.d/10-user.conf'), 'utf8')).toContain(
      '\nUser=root\n',
    );
    expect(existsSync(root.join('etc/systemd/system/agent3.service.d/override.conf'))).toBe(false);
    const restore = root.join('etc/agent3/original/restore');
    const wayBack = readFileSync(restore, 'utf8');
    expect(wayBack).toContain('\n    agent3 uninstall\n');
    // As an earlier build wrote it: an upgrade has it call what there is now.
    writeFileSync(restore, wayBack.replaceAll('agent3 uninstall', 'agent3 install --uninstall'));
    expect((await agent3(['install', '--root', root.path])).code).toBe(0);
    expect(readFileSync(restore, 'utf8')).toBe(wayBack);
    const purged = await agent3(['uninstall', '--root', root.path, '--purge']);
    expect(purged.stdout).toContain('kept: /etc/agent3/original (the files of the agent from before');
    expect(filesBelow(root.path).sort()).toEqual([
      '/etc/agent3/original/restore',
      '/etc/agent3/original/systemd_system_agent3.service',
      '/etc/agent3/original/systemd_system_agent3.service.d_override.conf',
      '/opt/a/.env',
      '/opt/a/app.py',
    ]);
    expect(Bun.spawnSync(['sh', '-n', root.join('etc/agent3/original/restore')]).exitCode).toBe(0);
  });

  const wrong: readonly [args: string[], told: string][] = [
    [['--port', '0'], 'from 1 to 65535'],
    [['--port', 'http'], 'from 1 to 65535'],
    [['--uninstall'], "unknown option '--uninstall'"],
    [['--binary', '/no/such/file'], '/no/such/file does not exist'],
    [['--prot', '5'], '--port'],
  ];
  test.each(wrong)('refuses %j as wrong usage', async (args, told) => {
    const { code, stderr } = await agent3(['install', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(told);
  });
});

describe('agent3 install', () => {
  test('stages into a directory that is not there yet, also a relative one', async () => {
    using directory = new TemporaryDirectory();
    const { code } = await agent3(['install', '--root', 'image/root'], {}, directory.path);
    expect(code).toBe(0);
    expect(existsSync(directory.join('image/root/usr/local/bin/agent3'))).toBe(true);
    const planned = await agent3(['install', '--root', directory.join('other'), '--dry-run']);
    expect(planned.code).toBe(0);
    expect(existsSync(directory.join('other'))).toBe(false);
    const told = planned.stdout.split('\n').filter((line) => line.startsWith('directory '));
    expect(new Set(told).size).toBe(told.length);
  });

  const refusals: readonly [argv: string[], message: RegExp][] = [
    [['install', '--root', ''], /--root needs a directory/],
    [['uninstall', '--root', ''], /--root needs a directory/],
    [['install', '--purge'], /unknown option '--purge'/],
    [['status', '--port', '5001'], /unknown option '--port'/],
    [['uninstall', '--no-start', '--user', 'root'], /unknown option '--no-start'/],
    [['status', '--dry-run'], /unknown option '--dry-run'/],
  ];
  test.each(refusals)('%j is refused', async (argv, message) => {
    const { code, stderr } = await agent3(argv);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(message) });
  });

  const canInstall = process.geteuid?.() === 0;
  test.skipIf(!canInstall || existsSync('/run/systemd/system'))(
    'where systemd does not run says so, and what there is instead',
    async () => {
      const { code, stderr, stdout } = await agent3(['install']);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toContain('needs systemd, which does not run this machine');
      expect(stderr).toContain('--root DIR');
    },
  );
});
