import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { ensurePrograms } from '../../helpers/debian.ts';
import { AGENT_KINDS, FileDesk } from '../../helpers/file-desk.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap');
const sha256 = (bytes: string | Uint8Array): string => Bun.SHA256.hash(bytes, 'hex');

/** Each kind of profile that may write in WORK; `full` alone writes with the rights of the agent. */
const PROFILES: Readonly<Record<string, string>> = {
  full: '',
  limited: 'extends = "full"\n[limits]\nfile_mib = 1',
  work: 'extends = "workspace"\ndirectory = "WORK"\nmask = false',
  ruled: 'extends = "full"\n[[rules]]\naction = "deny"\nwrites = ["WORK/kept*", "/etc/*"]\nreason = "kept as it is"',
  ...(isRoot && { user: 'extends = "full"\nuser = "news"' }),
};

describe.skipIf(missing.length > 0).each([...AGENT_KINDS])('of an agent that is %s', (kind) => {
  const desk = new FileDesk(kind);
  const kinds = Object.keys(PROFILES).filter((name) => kind === 'the user of the tests' || name !== 'user');
  const profiles = {
    ...Object.fromEntries(kinds.map((name) => [name, PROFILES[name] ?? ''])),
    look: 'mask = false',
    blind:
      'extends = "full"\n[[rules]]\naction = "deny"\ncommand = "cat"\narguments = "WORK/sealed*"\nreason = "sealed"',
    masked: 'extends = "full"\nmask = true',
  };

  beforeAll(async () => {
    await desk.start(profiles);
    await desk.addToken('other', 'full');
    // The user of a profile may write here as well.
    chmodSync(desk.work, 0o777);
  });
  afterAll(() => desk[Symbol.asyncDispose]());

  const at = (name: string): string => (name.startsWith('/') ? name : `${desk.work}/${name}`);
  const write = (token: string, name: string, content: string, more: object = {}) =>
    desk.call(token, 'write_file', { path: at(name), content, ...more });
  const edit = (token: string, name: string, edits: object[], more: object = {}) =>
    desk.call(token, 'edit_file', { path: at(name), edits, ...more });
  const undo = (token: string, args: object) => desk.call(token, 'undo', args);
  const text = (name: string): string => readFileSync(at(name), 'utf8');
  /** A file that the user of a profile owns. */
  const put = async (token: string, name: string, content: string): Promise<void> => {
    expect(await write(token, name, content)).toMatchObject({ http: 200 });
  };
  const mode = (name: string): string => (statSync(at(name)).mode & 0o7777).toString(8);
  const leftovers = (): string[] => readdirSync(desk.work).filter((name) => name.startsWith('.agent3-'));

  describe.each(kinds)('in %s', (token) => {
    const name = (what: string): string => `${token}-${what}`;

    test('write_file makes a file, replaces it, and adds to it', async () => {
      const made = await write(token, name('a'), 'one\n');
      expect(made).toEqual({ http: 200, size: 4, sha256: sha256('one\n'), created: true, change: expect.any(String) });
      expect(await write(token, name('a'), 'two\n')).not.toHaveProperty('created');
      expect(await write(token, name('a'), 'three', { append: true })).toMatchObject({
        size: 9,
        sha256: sha256('two\nthree'),
      });
      expect(text(name('a'))).toBe('two\nthree');
      expect(await write(token, name('a'), '', {})).toMatchObject({ size: 0 });
      expect(text(name('a'))).toBe('');
      expect(leftovers()).toEqual([]);
    });

    test('append is undone one call after the other', async () => {
      await put(token, name('log'), 'one\n');
      const { change } = await write(token, name('log'), 'two\n', { append: true });
      await write(token, name('log'), 'three\n', { append: true });
      expect(await undo(token, { path: at(name('log')) })).toMatchObject({ http: 200, older: change });
      expect(text(name('log'))).toBe('one\ntwo\n');
      expect(await undo(token, { change })).toMatchObject({ http: 200 });
      expect(text(name('log'))).toBe('one\n');
    });

    test('append leaves another name of the file as it was, and sets the mode of the new file', async () => {
      await put(token, name('named'), 'one\n');
      linkSync(at(name('named')), at(name('second')));
      const { message } = await write(token, name('named'), 'two\n', { append: true });
      expect(message).toContain('2 names');
      expect([text(name('named')), text(name('second'))]).toEqual(['one\ntwo\n', 'one\n']);
      await write(token, name('named'), 'three\n', { append: true, mode: '600' });
      expect([text(name('named')), mode(name('named'))]).toEqual(['one\ntwo\nthree\n', '600']);
    });

    test('write_file writes exact bytes', async () => {
      const bytes = Buffer.from([0, 0xff, 10, 13, 0x80]);
      await write(token, name('bytes'), bytes.toString('base64'), { encoding: 'base64' });
      expect(readFileSync(at(name('bytes')))).toEqual(bytes);
      const refused = await write(token, name('bytes'), 'not base64!', { encoding: 'base64' });
      expect(refused).toMatchObject({ http: 400, message: expect.stringContaining('not Base64') });
    });

    test('write_file sets modes, and keeps those that are there', async () => {
      await write(token, name('mode'), 'x', { mode: '640' });
      expect(mode(name('mode'))).toBe('640');
      await write(token, name('mode'), 'y', { mode: '0755' });
      expect(mode(name('mode'))).toBe('755');
      await write(token, name('mode'), 'z');
      expect([mode(name('mode')), text(name('mode'))]).toEqual(['755', 'z']);
      for (const bits of ['4755', '2755', '7777', '1777'])
        expect(await write(token, name('mode'), 'w', { mode: bits })).toMatchObject({ http: 400 });
      expect([mode(name('mode')), text(name('mode'))]).toEqual(['755', 'z']);
    });

    test('write_file makes directories when it is told to', async () => {
      const deep = name('dir/deeper/file');
      expect(await write(token, deep, 'x')).toMatchObject({
        http: 404,
        message: expect.stringMatching(/no such directory: "[^"]*dir\/deeper"\. .*create_directories/),
      });
      expect(existsSync(at(name('dir')))).toBe(false);
      expect(await write(token, deep, 'x', { create_directories: true })).toMatchObject({ http: 200, created: true });
      expect(text(deep)).toBe('x');
    });

    test('undo removes the directories that were made for a file, while nothing else is in them', async () => {
      mkdirSync(at(name('made')), { mode: 0o777 });
      chmodSync(at(name('made')), 0o777);
      const path = at(name('made/a/b/file'));
      await write(token, path, 'x', { create_directories: true });
      expect(await undo(token, { path })).toMatchObject({ removed: true });
      expect(readdirSync(at(name('made')))).toEqual([]);
      await undo(token, { path });
      expect(text(path)).toBe('x');
      await write(token, name('made/a/other'), 'y');
      const back = await undo(token, { path });
      expect(back).toMatchObject({ removed: true });
      // It took back the second undo, which had gone forward.
      expect(back).not.toHaveProperty('message');
      expect(readdirSync(at(name('made')), { recursive: true }).sort()).toEqual(['a', 'a/other']);
    });

    test('expected_sha256 keeps what another has changed', async () => {
      await put(token, name('expected'), 'old');
      const wrong = await write(token, name('expected'), 'new', { expected_sha256: sha256('other') });
      expect(wrong).toMatchObject({ http: 409, error: 'Conflict' });
      expect(text(name('expected'))).toBe('old');
      expect(await write(token, name('expected'), 'new', { expected_sha256: sha256('old') })).toMatchObject({
        http: 200,
      });
      const none = await write(token, name('none'), 'new', { expected_sha256: sha256('old') });
      expect(none).toMatchObject({ http: 409, message: expect.stringContaining('does not exist') });
    });

    test('edit_file replaces texts, all or none, and answers with the diff', async () => {
      await put(token, name('edit'), 'one\ntwo\nthree\ntwo\n');
      const twice = await edit(token, name('edit'), [{ old: 'two', new: '2' }]);
      expect(twice).toMatchObject({ http: 400, message: expect.stringContaining('2 times: lines 2, 4') });
      const half = await edit(token, name('edit'), [
        { old: 'one', new: '1' },
        { old: 'four', new: '4' },
      ]);
      expect(half).toMatchObject({ http: 400, message: expect.stringContaining('old of edit 2 is not in') });
      expect(text(name('edit'))).toBe('one\ntwo\nthree\ntwo\n');
      const done = await edit(token, name('edit'), [
        { old: 'two', new: '2', all: true },
        { old: 'three\n2', new: 'end' },
      ]);
      expect(done).toMatchObject({
        http: 200,
        diff: '@@ -1,4 +1,3 @@\n one\n-two\n-three\n-two\n+2\n+end\n',
        size: 10,
      });
      expect(text(name('edit'))).toBe('one\n2\nend\n');
    });

    test('edit_file answers with the beginning of a long diff, and how much there is', async () => {
      const lines = Array.from({ length: 100 }, (_, index) => `old ${index} ${'-'.repeat(40)}\n`).join('');
      await put(token, name('long'), lines);
      const many = String((await edit(token, name('long'), [{ old: 'old', new: 'new', all: true }]))['diff']);
      expect(many).toMatch(/^(?:@@ -1,100 \+1,100 @@\n)?-old 0 /);
      expect(many).toContain('100 lines were removed and 100 were added');
      // With so many differences there are no hunks.
      await put(token, name('long'), lines.repeat(20));
      const all = String((await edit(token, name('long'), [{ old: 'old', new: 'new', all: true }]))['diff']);
      expect(all).toMatch(/^-old 0 /);
      expect(all).toContain('\n+new 0 ');
      expect(all).toContain('2000 lines were removed and 2000 were added');
      for (const diff of [many, all]) expect(JSON.stringify(diff).length).toBeWithin(2000, 4001);
    });

    test('edit_file says why a text is not there', async () => {
      const why = async (content: string | Buffer, old: string, next = 'x'): Promise<string> => {
        await write(token, name('why'), Buffer.from(content).toString('base64'), { encoding: 'base64' });
        const { http, message } = await edit(token, name('why'), [{ old, new: next }]);
        expect(readFileSync(at(name('why')))).toEqual(Buffer.from(content));
        return `${http} ${message}`;
      };
      expect(await why('a\r\nb\r\n', 'a\nb')).toContain('end with \\r\\n');
      expect(await why('a\nb\n', 'a\r\nb')).toContain('end with \\n alone');
      expect(await why('\tindented\n', '  indented')).toContain('it is in line 1');
      expect(await why('first\nother\n', 'first\nsecond')).toContain('first line is in line 1');
      expect(await why(Buffer.from('\ufeffa\n', 'utf16le'), 'a')).toContain('UTF-16');
      expect(await why('a', '')).toContain('is empty');
      expect(await why('a', 'a', 'a')).toContain('same as new');
      expect(await why('', 'a')).toContain('is not in');
    });

    test('edit_file leaves alone what is no UTF-8, and a file without a last line end', async () => {
      const latin = Buffer.from('caf\xe9 = 1\nno end', 'latin1');
      await write(token, name('latin'), latin.toString('base64'), { encoding: 'base64' });
      expect(await edit(token, name('latin'), [{ old: '= 1', new: '= 2' }])).toMatchObject({ http: 200 });
      expect(readFileSync(at(name('latin')))).toEqual(Buffer.from('caf\xe9 = 2\nno end', 'latin1'));
    });

    test('what is no file stays what it is', async () => {
      mkdirSync(at(name('directory')));
      symlinkSync('/etc/shadow', at(name('link')));
      Bun.spawnSync(['mkfifo', at(name('pipe'))]);
      for (const what of [name('directory'), name('link'), name('pipe'), '/dev/null', '/proc/sys/kernel/hostname'])
        for (const refused of [await write(token, what, 'x'), await edit(token, what, [{ old: 'root', new: 'x' }])])
          expect([what, refused.http]).toEqual([what, 400]);
      expect(await edit(token, name('absent'), [{ old: 'a', new: 'b' }])).toMatchObject({ http: 404 });
      expect(leftovers()).toEqual([]);
    });

    test('undo puts back what was there, also what an undo took away', async () => {
      await put(token, name('undo'), 'first');
      await write(token, name('undo'), 'second');
      const back = await undo(token, { path: at(name('undo')) });
      expect(back).toMatchObject({ http: 200, path: at(name('undo')), size: 5, change: expect.any(String) });
      expect(text(name('undo'))).toBe('first');
      await undo(token, { path: at(name('undo')) });
      expect(text(name('undo'))).toBe('second');
      const { changes } = (await undo(token, {})) as unknown as {
        changes: { change: string; op: string; path: string }[];
      };
      const own = changes.filter(({ path }) => path === at(name('undo')));
      expect(own.map(({ op }) => op)).toEqual(['undo', 'undo', 'write_file', 'write_file']);
      expect(await undo(token, { change: own.at(-1)?.change })).toMatchObject({ removed: true });
      expect(existsSync(at(name('undo')))).toBe(false);
      await undo(token, { path: at(name('undo')) });
      expect(text(name('undo'))).toBe('second');
    });

    test('undo names the change before, also where it took back an undo', async () => {
      const path = at(name('steps'));
      const changes: unknown[] = [];
      for (const content of ['one', 'two', 'three'])
        changes.push((await write(token, name('steps'), content))['change']);
      expect(await undo(token, { path })).toMatchObject({ older: changes[1] });
      expect(await undo(token, { path })).toMatchObject({
        older: changes[1],
        message: expect.stringContaining('took back an undo'),
      });
      expect(text(name('steps'))).toBe('three');
      const back = await undo(token, { change: changes[1] });
      expect([back['older'], text(name('steps'))]).toEqual([changes[0], 'one']);
      expect(back).not.toHaveProperty('message');
      const gone = await undo(token, { change: changes[0] });
      expect(gone).toMatchObject({ removed: true });
      expect(gone).not.toHaveProperty('older');
    });

    test('undo keeps what somebody else has changed since', async () => {
      await put(token, name('since'), 'first');
      const { change } = await write(token, name('since'), 'second');
      desk.put(name('since'), 'by hand');
      expect(await undo(token, { change })).toMatchObject({ http: 409 });
      expect(text(name('since'))).toBe('by hand');
    });

    test('many calls for one file take turns', async () => {
      await put(token, name('turns'), Array.from({ length: 8 }, (_, index) => `item ${index};\n`).join(''));
      const edits = Array.from({ length: 8 }, (_, index) =>
        edit(token, name('turns'), [{ old: `item ${index};`, new: `done ${index};` }]),
      );
      for (const { http } of await Promise.all(edits)) expect(http).toBe(200);
      expect(text(name('turns'))).not.toContain('item');
    });
  });

  if (kind === 'the user of the tests' && isRoot) {
    test('the owner of a file stays', async () => {
      const path = desk.put('owned', 'old');
      chownSync(path, 9, 13);
      chmodSync(path, 0o664);
      expect(await write('full', 'owned', 'new')).toMatchObject({ http: 200 });
      const { uid, gid } = statSync(path);
      expect([uid, gid, mode('owned'), text('owned')]).toEqual([9, 13, '664', 'new']);
      // In a sandbox root has no rights over others.
      expect(await write('work', 'owned', 'newer')).toMatchObject({ http: 400 });
      chmodSync(desk.work, 0o777);
      expect(text('owned')).toBe('new');
    });
  }

  if (kind === 'another user') {
    test('a file of another user is not taken over', async () => {
      const path = desk.put('theirs', 'old');
      chownSync(path, 9, 13);
      chmodSync(path, 0o666);
      for (const token of ['full', 'work'])
        expect(await write(token, 'theirs', 'new')).toMatchObject({
          http: 400,
          message: expect.stringContaining('another user'),
        });
      expect([text('theirs'), statSync(path).uid]).toEqual(['old', 9]);
      expect(leftovers()).toEqual([]);
    });
  }

  test('set-id bits go with a change, and come back with undo in full alone', async () => {
    const path = desk.put('program', 'old', 0o4755);
    expect(await write('full', 'program', 'new')).toMatchObject({ message: expect.stringContaining('set-id') });
    expect(mode('program')).toBe('755');
    await undo('full', { path });
    expect([mode('program'), text('program')]).toEqual(['4755', 'old']);
    await write('limited', 'program', 'new');
    await undo('limited', { path });
    expect([mode('program'), text('program')]).toEqual(['755', 'old']);
  });

  test('other names of a file are told of', async () => {
    const path = desk.put('names', 'old');
    linkSync(path, at('names-too'));
    expect(await write('full', 'names', 'new')).toMatchObject({ message: expect.stringContaining('2 names') });
    expect([text('names'), text('names-too')]).toEqual(['new', 'old']);
  });

  test('a sandbox lets nothing be written outside of it', async () => {
    const outside = desk.place.join('outside');
    for (const [token, path] of [
      ['look', at('x')],
      ['work', outside],
      ['work', '/etc/agent3-test'],
    ] as const) {
      expect(await write(token, path, 'x', { create_directories: true })).toMatchObject({ http: 400 });
      expect(existsSync(path)).toBe(false);
    }
    for (const path of ['/tmp/agent3-test', '/var/tmp/x', '/run/x', '/dev/shm/x'])
      expect(await write('work', path, 'x')).toMatchObject({
        http: 400,
        message: expect.stringContaining('gone at once'),
      });
    expect(await edit('work', '/tmp/agent3-test', [{ old: 'a', new: 'b' }])).toMatchObject({
      http: 400,
      message: expect.stringContaining('gone at once'),
    });
    expect(await desk.call('work', 'read_file', { path: '/tmp/agent3-test' })).toMatchObject({
      http: 404,
      message: expect.stringContaining('begin empty'),
    });
    symlinkSync('/etc', at('way-out'));
    expect(await write('work', 'way-out/agent3-test', 'x')).toMatchObject({ http: 400 });
    expect(existsSync('/etc/agent3-test')).toBe(false);
  });

  test('rules about files that are written to hold, also through another name of the directory', async () => {
    desk.put('kept.txt', 'kept');
    symlinkSync(desk.work, desk.place.join('byway'));
    for (const path of [at('kept.txt'), desk.place.join('byway/kept.txt')]) {
      const refused = await write('ruled', path, 'x');
      expect(refused).toMatchObject({
        http: 403,
        error: 'Forbidden',
        message: expect.stringContaining('kept as it is'),
      });
      expect(await edit('ruled', path, [{ old: 'kept', new: 'x' }])).toMatchObject({ error: 'Forbidden' });
    }
    await write('full', 'kept.txt', 'by full');
    expect(await undo('ruled', { path: at('kept.txt') })).toMatchObject({ http: 404 });
    expect(text('kept.txt')).toBe('by full');
  });

  test('what may not be read is not compared with a hash', async () => {
    if (isRoot && kind === 'the user of the tests') return;
    desk.put('closed', 'secret');
    chownSync(at('closed'), 0, 0);
    chmodSync(at('closed'), 0o600);
    const answers = [sha256('secret'), sha256('wrong')].map((expected_sha256) =>
      write('full', 'closed', 'x', { expected_sha256 }),
    );
    const [right, wrong] = await Promise.all(answers);
    expect(right).toMatchObject({ http: 400, message: expect.stringContaining('cannot be read') });
    expect(right).toEqual(wrong);
  });

  test('what rules let a token not read is not told by a change', async () => {
    const path = desk.put('sealed', 'user = app\npassword = hunter2\n');
    const blind = async (op: string, args: object) => {
      const { http, error, message } = await desk.call('blind', op, { path, ...args });
      return { http, error, message };
    };
    const read = await blind('read_file', {});
    expect(read).toMatchObject({ http: 403, error: 'Forbidden', message: expect.stringContaining('sealed') });
    const edits = ['password = h', 'password = x', 'user'].map((old) =>
      blind('edit_file', { edits: [{ old, new: 'y' }] }),
    );
    const hashes = [text('sealed'), 'other'].map((content) =>
      blind('write_file', { content: 'x', expected_sha256: sha256(content) }),
    );
    const appended = ['', 'x'].map((content) => blind('write_file', { content, append: true }));
    for (const told of await Promise.all([...edits, ...hashes, ...appended])) expect(told).toEqual(read);
    expect(text('sealed')).toContain('hunter2');
    // A guess is written like any other content, and what it replaced stays unknown.
    const guesses = [text('sealed'), 'user = app\n'].map(
      (content) => () => desk.call('blind', 'write_file', { path, content }),
    );
    for (const guess of guesses) {
      const { sha256: _, change, size, ...told } = await guess();
      expect([told, typeof change, typeof size]).toEqual([{ http: 200 }, 'string', 'number']);
    }
    expect(await blind('undo', {})).toEqual(read);
    expect(text('sealed')).toBe('user = app\n');
  });

  test('a change of another token cannot be undone, by its id or path', async () => {
    await put('full', 'mine', 'first');
    const { change } = await write('full', 'mine', 'second');
    for (const args of [{ change }, { path: at('mine') }, { change, path: at('mine') }])
      expect(await undo('other', args)).toMatchObject({ http: 404 });
    const { changes } = (await undo('other', {})) as unknown as { changes: { path: string }[] };
    expect(changes.filter(({ path }) => path === at('mine'))).toEqual([]);
    expect(text('mine')).toBe('second');
  });

  test('a list without entries, or of too many, is told by its number', async () => {
    const path = at('numbered');
    await desk.lean('full', 'write_file', { path, content: 'x' });
    for (const count of [0, 101]) {
      const edits = Array.from({ length: count }, () => ({ old: 'x', new: 'y' }));
      expect(await desk.lean('full', 'edit_file', { path, edits })).toMatchObject({
        http: 400,
        message: `edits must have 1 to 100 entries, not ${count}.`,
      });
    }
  });

  test('the lean doors answer what the caller does not know', async () => {
    const path = at('lean');
    expect(await desk.lean('full', 'write_file', { path, content: 'one\n' })).toEqual({
      http: 200,
      size: 4,
      created: true,
    });
    const edits = [{ old: 'one', new: 'two' }];
    expect(await desk.lean('full', 'edit_file', { path, edits })).toEqual({
      http: 200,
      diff: '@@ -1,1 +1,1 @@\n-one\n+two\n',
    });
    expect(await desk.lean('full', 'read_file', { path })).toEqual({
      http: 200,
      content: 'two\n',
      sha256: sha256('two\n'),
    });
    expect(await desk.lean('full', 'read_file', { path, unit: 'bytes', limit: 1 })).toMatchObject({
      size: 4,
      next_offset: 1,
    });
  });

  test('a diff is masked where the profile masks, and the file is not', async () => {
    const path = desk.put('settings', 'user = app\npassword = "hunter2hunter2"\nport = 1\n');
    const done = await desk.call('masked', 'edit_file', { path, edits: [{ old: 'port = 1', new: 'port = 2' }] });
    expect(done['diff']).toBe('@@ -1,3 +1,3 @@\n user = app\n password = "‹password›"\n-port = 1\n+port = 2\n');
    expect(text('settings')).toBe('user = app\npassword = "hunter2hunter2"\nport = 2\n');
    const wrong = await desk.call('masked', 'edit_file', { path, edits: [{ old: '"‹password›"', new: 'x' }] });
    expect(wrong).toMatchObject({ http: 400, message: expect.stringContaining('masked') });
  });

  test('changes outlive the agent', async () => {
    await put('full', 'lasting', 'first');
    await write('full', 'lasting', 'second');
    await desk.agent.restart();
    await undo('full', { path: at('lasting') });
    expect(text('lasting')).toBe('first');
  });

  test('a change is on record with path, hashes and sizes', async () => {
    await put('full', 'noted', 'first');
    const { change } = await edit('full', 'noted', [{ old: 'first', new: 'second' }]);
    const lines = readFileSync(desk.settings['AGENT3_AUDIT_FILE'] ?? '', 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(
      expect.objectContaining({
        ...{ event: 'operation', op: 'edit_file', path: at('noted'), change },
        ...{ before_sha256: sha256('first'), before_bytes: 5, after_sha256: sha256('second'), after_bytes: 6 },
      }),
    );
  });
});

test.skipIf(missing.length > 0)('write_file says the mode where it is not the common one', async () => {
  await using desk = new FileDesk('the user of the tests');
  await desk.start({ full: '', work: PROFILES['work'] ?? '' }, {}, ['sh', '-c', 'umask 027; exec "$@"', 'sh']);
  for (const token of ['full', 'work']) {
    const path = `${desk.work}/${token}`;
    const write = (more: object = {}) => desk.lean(token, 'write_file', { path, content: `${token}\n`, ...more });
    expect(await write()).toMatchObject({ created: true, mode: '640' });
    expect((statSync(path).mode & 0o777).toString(8)).toBe('640');
    expect(await write({ content: 'same mode' })).toMatchObject({ mode: '640' });
    for (const mode of ['600', '644']) expect(await write({ content: mode, mode })).not.toHaveProperty('mode');
    expect(await write({ content: 'as it was' })).not.toHaveProperty('mode');
  }
});
