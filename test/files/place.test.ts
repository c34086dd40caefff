import { afterAll, describe, expect, spyOn, test } from 'bun:test';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Helper, type Script } from '../../src/commands/helper.ts';
import { openDirect } from '../../src/files/direct.ts';
import { openIsolated } from '../../src/files/isolated.ts';
import { type FilePlace, parsePath, type Range } from '../../src/files/place.ts';
import { Deadline } from '../../src/lib/clock.ts';
import { FileConflict } from '../../src/lib/errors.ts';
import { MAX_FILE_BYTES } from '../../src/lib/limits.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const NOTHING: Range = { offset: 0, bytes: 0 };

/** The script without walls around it. */
function startScript(script: Script, args: readonly string[], programs = ''): Helper {
  const child = Bun.spawn([...script, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: `${programs}${process.env['PATH']}`, LC_ALL: 'C' },
    detached: true,
  });
  return new Helper({ child, stop: () => {}, hasBegun: () => true, release: () => {} });
}

const WAYS: Readonly<Record<string, (path: string, range?: Range) => Promise<FilePlace>>> = {
  'by descriptors': (path, range = NOTHING) => openDirect(parsePath(path), range),
  'by a script of sh': (path, range = NOTHING) =>
    openIsolated(startScript, parsePath(path), range, Deadline.after(60), false),
  'by a script of perl': (path, range = NOTHING) =>
    openIsolated(startScript, parsePath(path), range, Deadline.after(60), true),
};

describe.each(Object.entries(WAYS))('a place that is held %s', (_name, open) => {
  const directory = new TemporaryDirectory();
  let count = 0;
  /** A new directory for each test. */
  const at = (name: string): string => {
    const own = directory.join(String(count++));
    mkdirSync(own);
    return `${own}/${name}`;
  };
  const left = (path: string): string[] => readdirSync(path.slice(0, path.lastIndexOf('/')));
  afterAll(() => directory[Symbol.dispose]());
  const file = (text: string) => ({ bytes: Buffer.from(text), mode: undefined, owner: undefined });

  test('is removed with the directories above it that are asked for, as long as they are empty', async () => {
    const path = at('a/b c/d/file');
    const [root] = path.split('/a/');
    for (const [count, rest] of [
      [2, ['a', 'other']],
      [9, ['other']],
    ] as const) {
      mkdirSync(path.slice(0, -'/file'.length), { recursive: true });
      writeFileSync(path, 'old');
      writeFileSync(`${root}/other`, '');
      await using place = await open(path);
      await place.remove(count);
      expect(readdirSync(String(root), { recursive: true }).sort()).toEqual([...rest]);
    }
  });

  test.each([
    ['written to', (path: string) => appendFileSync(path, ' more')],
    [
      'replaced',
      (path: string) => {
        writeFileSync(`${path}.new`, 'older');
        renameSync(`${path}.new`, path);
      },
    ],
    ['given another mode', (path: string) => chmodSync(path, 0o600)],
    [
      'put back in time',
      (path: string) => {
        writeFileSync(path, 'olD');
        utimesSync(path, 1, 1);
      },
    ],
    [
      'replaced with a link',
      (path: string) => {
        rmSync(path);
        symlinkSync('/etc/hostname', path);
      },
    ],
    ['removed', (path: string) => rmSync(path)],
  ])('keeps a file that was %s meanwhile', async (_what, change) => {
    const path = at('file');
    writeFileSync(path, 'old');
    for (const act of ['replace', 'remove'] as const) {
      await using place = await open(path);
      await place.read();
      change(path);
      const before = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
      const acting = act === 'replace' ? place.replace(file('new')) : place.remove();
      expect(await acting.catch((error: unknown) => error)).toBeInstanceOf(FileConflict);
      expect(existsSync(path) ? readFileSync(path, 'utf8') : undefined).toBe(before);
      expect(left(path).filter((name) => name !== 'file')).toEqual([]);
      rmSync(path, { force: true });
      writeFileSync(path, 'old');
    }
  });

  test('takes no name that somebody else has taken meanwhile', async () => {
    const path = at('file');
    await using place = await open(path);
    writeFileSync(path, 'theirs');
    expect(await place.replace(file('mine')).catch((error: unknown) => error)).toBeInstanceOf(FileConflict);
    expect([readFileSync(path, 'utf8'), left(path)]).toEqual(['theirs', ['file']]);
  });

  test('stays where it is when its directory is moved and a link takes its name', async () => {
    const path = at('dir/file');
    const top = path.slice(0, -'dir/file'.length);
    mkdirSync(`${top}dir`);
    mkdirSync(`${top}elsewhere`);
    writeFileSync(path, 'old');
    await using place = await open(path);
    expect(Buffer.from((await place.read()).bytes).toString()).toBe('old');
    renameSync(`${top}dir`, `${top}moved`);
    symlinkSync(`${top}elsewhere`, `${top}dir`);
    await place.replace(file('new'));
    expect(readFileSync(`${top}moved/file`, 'utf8')).toBe('new');
    expect(readdirSync(`${top}elsewhere`)).toEqual([]);
  });

  test('has its real path, and what is missing of it', async () => {
    const path = at('link/a/b/file');
    const top = path.slice(0, -'link/a/b/file'.length);
    mkdirSync(`${top}real`);
    symlinkSync('real', `${top}link`);
    await using place = await open(path);
    expect([place.path, place.missing, place.stat]).toEqual([`${top}real/a/b/file`, 'a/b', undefined]);
    await place.replace(file('deep'));
    expect(readFileSync(`${top}real/a/b/file`, 'utf8')).toBe('deep');
  });

  test.each(['a', 'a/b'])('makes no directory through a link that has come meanwhile (%s)', async (link) => {
    const path = at('a/b/file');
    const top = path.slice(0, -'a/b/file'.length);
    mkdirSync(`${top}elsewhere`);
    await using place = await open(path);
    if (link === 'a/b') mkdirSync(`${top}a`);
    symlinkSync(`${top}elsewhere`, `${top}${link}`);
    expect(await place.replace(file('new')).catch((error: unknown) => error)).toBeInstanceOf(FileConflict);
    expect(readdirSync(`${top}elsewhere`)).toEqual([]);
  });

  test('uses a directory that somebody else has made meanwhile', async () => {
    const path = at('a/b/file');
    await using place = await open(path);
    mkdirSync(path.slice(0, -'/b/file'.length));
    await place.replace(file('new'));
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  test.each([
    '-n',
    '-rf',
    ' ',
    "it's",
    '"',
    '$(touch x)',
    '`x`',
    'a\nb',
    '\n',
    '*',
    '\\n',
    '%s',
    'ä😀',
    '~',
    'x'.repeat(255),
  ])('may be called %j', async (name) => {
    const path = at(name);
    {
      await using place = await open(path);
      await place.replace(file('one'));
    }
    await using place = await open(path);
    expect(Buffer.from((await place.read()).bytes).toString()).toBe('one');
    await place.replace(file('two'));
    expect([readFileSync(path, 'utf8'), left(path)]).toEqual(['two', [name]]);
    await using again = await open(path);
    await again.remove();
    expect(left(path)).toEqual([]);
  });

  test('is read whole up to its limit, and in parts beyond it', async () => {
    const path = at('large');
    const bytes = Buffer.alloc(MAX_FILE_BYTES, 'abcdefg\n');
    writeFileSync(path, bytes);
    {
      await using place = await open(path);
      const whole = await place.read();
      expect([whole.isWhole, Bun.SHA256.hash(whole.bytes, 'hex')]).toEqual([true, Bun.SHA256.hash(bytes, 'hex')]);
    }
    appendFileSync(path, 'END');
    for (const [range, text, start] of [
      [{ offset: -3, bytes: 100 }, 'END', MAX_FILE_BYTES],
      [{ offset: 8, bytes: 8 }, 'abcdefg\n', 8],
      [{ offset: MAX_FILE_BYTES + 100, bytes: 8 }, '', MAX_FILE_BYTES + 100],
    ] as const) {
      await using place = await open(path, range);
      const part = await place.read();
      expect({ ...part, bytes: Buffer.from(part.bytes).toString() }).toEqual({
        ...{ bytes: text, start, size: MAX_FILE_BYTES + 3, isWhole: false },
      });
    }
  });

  test('has the mode that it is told', async () => {
    for (const mode of [0o600, 0o644, 0o755, 0o777, 0o400, 0o000]) {
      const path = at('mode');
      await using place = await open(path);
      await place.replace({ bytes: Buffer.from('x'), mode, owner: undefined });
      expect(statSync(path).mode & 0o7777).toBe(mode);
    }
  });
});

describe.each([
  ['written to', 'printf EVIL 1<> "$f"'],
  ['made longer', 'printf EVIL >> "$f"'],
  ['replaced with a link to another', 'mv "$f" ../kept; ln -s ../kept "$f"'],
])('a new file that is %s on its way', (_what, change) => {
  const next = { bytes: Buffer.from('new\n'), mode: undefined, owner: undefined };
  const script = `for f in .agent3-*; do ${change}; done`;
  /** A file in a directory of its own, on which `work` fails. */
  async function failing(work: (path: string) => Promise<void>): Promise<void> {
    using directory = new TemporaryDirectory();
    mkdirSync(directory.join('own'));
    const path = directory.join('own/file');
    writeFileSync(path, 'old');
    expect(await work(path).catch((error: unknown) => error)).toBeInstanceOf(FileConflict);
    expect([readFileSync(path, 'utf8'), readdirSync(directory.join('own'))]).toEqual(['old', ['file']]);
  }

  test('by descriptors, is not put there', async () => {
    await failing(async (path) => {
      await using probe = await openFile(path);
      const handles = Object.getPrototypeOf(probe) as FileHandle;
      const sync = spyOn(handles, 'sync');
      sync.mockImplementation(async () => {
        sync.mockRestore();
        expect(Bun.spawnSync(['sh', '-c', script], { cwd: dirname(path) }).exitCode).toBe(0);
      });
      try {
        await using place = await openDirect(parsePath(path), NOTHING);
        await place.replace(next);
      } finally {
        sync.mockRestore();
      }
    });
  });

  test('by a script of sh, is not put there', async () => {
    await failing(async (path) => {
      using programs = new TemporaryDirectory();
      const dd = `#!/bin/sh\n${Bun.which('dd')} "$@" || exit\ncase "$*" in of=*) ${script} ;; esac\n`;
      writeFileSync(programs.join('dd'), dd, { mode: 0o755 });
      const start = (script: Script, args: readonly string[]) => startScript(script, args, `${programs.path}:`);
      await using place = await openIsolated(start, parsePath(path), undefined, Deadline.after(60), false);
      await place.replace(next);
    });
  });

  test('by a script of perl, is not put there', async () => {
    await failing(async (path) => {
      const before = 'my $holds = holds($out';
      const start = (words: Script, args: readonly string[]) => {
        expect(words.some((word) => word.includes(before))).toBe(true);
        const changed = words.map((word) => word.replace(before, () => `system q(${script}); ${before}`));
        return startScript(changed, args);
      };
      await using place = await openIsolated(start, parsePath(path), undefined, Deadline.after(60), true);
      await place.replace(next);
    });
  });
});
