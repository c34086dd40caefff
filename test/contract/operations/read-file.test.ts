import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, symlinkSync, truncateSync } from 'node:fs';
import { ensurePrograms } from '../../helpers/debian.ts';
import { AGENT_KINDS, FileDesk } from '../../helpers/file-desk.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap');
const sha256 = (bytes: string | Uint8Array): string => Bun.SHA256.hash(bytes, 'hex');

const SLOTS = 8;

/** Each kind of profile; `full` alone is read with the rights of the agent, the others through a script. */
const PROFILES: Readonly<Record<string, string>> = {
  full: '',
  limited: 'extends = "full"\n[limits]\nfile_mib = 100',
  work: 'extends = "workspace"\ndirectory = "WORK"\nmask = false',
  look: 'extends = "readonly"\nmask = false',
  masked: 'extends = "full"\nmask = true',
  maskedlook: 'extends = "readonly"',
  ruled: 'extends = "full"\n[[rules]]\naction = "deny"\ncommand = "cat"\narguments = "WORK/secret*"',
  ...(isRoot && { user: 'extends = "full"\nuser = "news"' }),
};

describe.skipIf(missing.length > 0).each([...AGENT_KINDS])('read_file of an agent that is %s', (kind) => {
  const desk = new FileDesk(kind);
  const kinds = Object.keys(PROFILES).filter((name) => kind === 'the user of the tests' || name !== 'user');
  const readers = kinds.filter((name) => !name.startsWith('masked'));

  beforeAll(async () => {
    await desk.start(Object.fromEntries(kinds.map((name) => [name, PROFILES[name] ?? ''])), {
      AGENT3_MAX_RUNNING: String(SLOTS),
    });
    desk.put('lines', Array.from({ length: 100 }, (_, index) => `line ${index + 1}\n`).join(''));
    desk.put('secrets', 'user=app\npassword = "hunter2hunter2"\nlast line\n');
  });
  afterAll(() => desk[Symbol.asyncDispose]());

  const read = (token: string, name: string, more: object = {}) =>
    desk.call(token, 'read_file', { path: name.startsWith('/') ? name : `${desk.work}/${name}`, ...more });

  test.each(readers)('in %s answers text as it is, with size, lines and hash', async (token) => {
    const content = 'one\r\ntwo "quoted" \\ back\n\ttab\nno end';
    desk.put('plain', content);
    expect(await read(token, 'plain')).toEqual({
      http: 200,
      content,
      size: content.length,
      sha256: sha256(content),
      lines: 4,
    });
    desk.put('empty', '');
    expect(await read(token, 'empty')).toMatchObject({ content: '', size: 0, lines: 0, sha256: sha256('') });
  });

  test.each(readers)('in %s reads lines and bytes from where it is told', async (token) => {
    expect(await read(token, 'lines', { offset: 99 })).toMatchObject({ content: 'line 99\nline 100\n', lines: 100 });
    expect(await read(token, 'lines', { offset: -1 })).toMatchObject({ content: 'line 100\n' });
    const two = await read(token, 'lines', { offset: 3, limit: 2, numbers: true });
    expect(two).toMatchObject({ content: '3\tline 3\n4\tline 4\n', next_offset: 5 });
    const bytes = await read(token, 'lines', { unit: 'bytes', offset: 5, limit: 4 });
    expect(bytes).toMatchObject({ content: '1\nli', next_offset: 9 });
    expect(await read(token, 'lines', { offset: 500 })).toMatchObject({
      content: '',
      message: 'The file has 100 lines.',
    });
  });

  test.each(readers)('in %s says the hash once, with the first page', async (token) => {
    const page = (more: object) => desk.lean(token, 'read_file', { path: `${desk.work}/lines`, limit: 2, ...more });
    for (const more of [{}, { offset: 1 }, { unit: 'bytes', offset: 0 }])
      expect(await page(more)).toHaveProperty('sha256');
    for (const more of [{ offset: 3 }, { offset: -2 }, { unit: 'bytes', offset: 1 }])
      expect(await page(more)).not.toHaveProperty('sha256');
    expect(await read(token, 'lines', { offset: 3 })).toHaveProperty('sha256');
  });

  test.each(readers)('in %s returns exact bytes, and says what is not UTF-8', async (token) => {
    const bytes = Buffer.from([0, 1, 0xff, 0xfe, 0x0a, 0x80]);
    desk.put('binary', bytes);
    const exact = await read(token, 'binary', { encoding: 'base64' });
    expect(exact).toMatchObject({ content: bytes.toString('base64'), sha256: sha256(bytes) });
    expect((await read(token, 'binary'))['message']).toContain('not UTF-8');
    desk.put('utf16', Buffer.from('\ufeffhello\n', 'utf16le'));
    expect((await read(token, 'utf16'))['message']).toContain('UTF-16');
  });

  test.each(readers)('in %s joins a long file page by page', async (token) => {
    const content = Array.from({ length: 20_000 }, (_, index) => `${index} äöü€😀\n`).join('');
    desk.put('long', content);
    let [text, offset] = ['', 1];
    for (;;) {
      const page = await read(token, 'long', { offset });
      text += String(page['content']);
      if (page['next_offset'] === undefined) break;
      offset = Number(page['next_offset']);
    }
    expect(text).toBe(content);
  });

  test.each(readers)('in %s reads the parts of a file that is too large to be read whole', async (token) => {
    const path = desk.put('sparse', 'begin\n');
    truncateSync(path, 5 * 1024 ** 3);
    const first = await read(token, 'sparse', { unit: 'bytes', limit: 6 });
    expect(first).toMatchObject({ content: 'begin\n', size: 5 * 1024 ** 3, next_offset: 6 });
    expect(first).not.toHaveProperty('sha256');
    const last = await read(token, 'sparse', { unit: 'bytes', offset: -3, encoding: 'base64' });
    expect(last).toMatchObject({ content: 'AAAA' });
    expect(last).not.toHaveProperty('next_offset');
    expect(await read(token, 'sparse', { offset: 10 })).toMatchObject({
      http: 400,
      message: expect.stringContaining('unit bytes'),
    });
  });

  test.each(readers)('in %s refuses what is no file, and says what it is', async (token) => {
    mkdirSync(`${desk.work}/${token}-dir`);
    symlinkSync('/etc/passwd', `${desk.work}/${token}-link`);
    Bun.spawnSync(['mkfifo', `${desk.work}/${token}-fifo`]);
    const refused = async (name: string) => {
      const { http, message } = await read(token, name);
      return `${http} ${message}`;
    };
    expect(await refused(`${token}-dir`)).toContain('400');
    expect(await refused(`${token}-dir`)).toContain('is a directory');
    expect(await refused(`${token}-link`)).toContain('is a symbolic link to "/etc/passwd"');
    expect(await refused(`${token}-fifo`)).toContain('is a pipe');
    expect(await refused('/dev/null')).toContain('is a device');
    expect(await refused('missing')).toContain('404 There is no file');
    expect(await refused('no/such/file')).toContain('404 There is no such directory');
    expect(await refused('no/such/file')).toEndWith(`Look with shell: ls ${desk.work}`);
    expect(await refused('lines/below')).toContain('it is not a directory');
    expect(await refused('../work/lines')).toContain('without them');
    expect((await desk.call(token, 'read_file', { path: 'relative' }))['message']).toContain('is not absolute');
  });

  test.each(readers)('in %s reads files of the kernel, whose size is 0', async (token) => {
    const { content, size } = await read(token, '/proc/version');
    expect(content).toBe(readFileSync('/proc/version', 'utf8'));
    expect(size).toBe(String(content).length);
  });

  test.each(readers.filter((name) => name !== 'full' || !isRoot || kind === 'another user'))(
    'in %s reads nothing that its user may not read',
    async (token) => {
      const isOwn = token !== 'user';
      // Root reads everything, but not in a sandbox.
      if (isOwn && isRoot && kind !== 'another user' && ['limited', 'ruled'].includes(token)) return;
      const refusal = await read(token, '/etc/shadow');
      // What is hidden is not there, or is a device.
      expect([400, 404]).toContain(refusal.http);
      expect(JSON.stringify(refusal)).not.toContain('root:');
    },
  );

  test('follows the rules of a profile as cat does, also through another name of the directory', async () => {
    desk.put('secret.txt', 'deep');
    symlinkSync(desk.work, desk.place.join('other'));
    for (const path of [`${desk.work}/secret.txt`, desk.place.join('other/secret.txt')])
      expect(await read('ruled', path)).toMatchObject({ http: 403, error: 'Forbidden' });
    expect(await read('ruled', 'lines', { limit: 1 })).toMatchObject({ content: 'line 1\n' });
  });

  test.each(['masked', 'maskedlook'])('in %s masks secrets, also between numbered lines', async (token) => {
    const plain = await read(token, 'secrets');
    expect(plain['content']).not.toContain('hunter2');
    expect(plain['message']).toContain('masked');
    const numbered = await read(token, 'secrets', { numbers: true });
    expect(numbered['content']).toMatch(/^1\tuser=app\n2\tpassword = "‹password›"\n3\tlast line\n$/);
    const exact = await read(token, 'secrets', { encoding: 'base64' });
    expect(Buffer.from(String(exact['content']), 'base64').toString()).not.toContain('hunter2');
    for (let offset = 20; offset < 40; offset++) {
      const part = await read(token, 'secrets', { unit: 'bytes', offset, limit: 12 });
      expect(part['content']).not.toContain('hunter2');
    }
  });

  test('is on record with its path, size and hash, and so is a refusal', async () => {
    const path = desk.put('noted', 'noted');
    await read('full', 'noted');
    await read('full', 'not-there');
    const lines = readFileSync(desk.settings['AGENT3_AUDIT_FILE'] ?? '', 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(
      expect.objectContaining({
        event: 'operation',
        op: 'read_file',
        token: expect.stringMatching(/^full#/),
        path,
        size: 5,
        sha256: sha256('noted'),
      }),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({
        op: 'read_file',
        path: `${desk.work}/not-there`,
        refused: expect.stringContaining('Not found'),
      }),
    );
  });

  test('holds few large files in memory at once', async () => {
    const path = desk.put('many-lines', 'line of text\n'.repeat(1_250_000));
    const peakMib = (): number =>
      Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${desk.agent.pid}/status`, 'utf8'))?.[1]) / 1024;
    const before = peakMib();
    // A call that a busy machine keeps waiting for too long is answered 429, and sent again.
    const read = async (): Promise<boolean> => {
      const { http } = await desk.call('full', 'read_file', { path, offset: 1_000_000, limit: 3 });
      expect(http).toBeOneOf([200, 429]);
      return http === 200;
    };
    await Promise.all(Array.from({ length: 32 }, () => eventually('its turn', read)));
    // Six of 16 MiB, and what the collector has not taken yet.
    expect(peakMib() - before).toBeLessThan(350);
  });

  test('leaves no process and no slot behind', async () => {
    for (let count = 0; count < 3 * SLOTS; count++) {
      expect(await read('look', 'lines', { limit: 1 })).toMatchObject({ http: 200 });
      expect(await read('look', 'missing')).toMatchObject({ http: 404 });
    }
    await eventually('the scripts are gone', () => {
      const { stdout } = Bun.spawnSync(['ps', '-eo', 'args']);
      return !stdout.toString().includes(` agent3 ${desk.work}`);
    });
  });
});
