import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { agent3 } from '../../helpers/cli.ts';
import { Client } from '../../helpers/client.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { FileDesk } from '../../helpers/file-desk.ts';
import { put } from '../../helpers/links.ts';
import { eventually } from '../../helpers/waiting.ts';

const missing = ensurePrograms('bwrap');
const isRoot = process.geteuid?.() === 0;
const sha256 = (bytes: string): string => Bun.SHA256.hash(bytes, 'hex');

const RULES = `[[rules]]
action = "confirm"
writes = "WORK/*"
reason = "people look at it"
[[rules]]
action = "confirm"
command = "cat"
arguments = "WORK/private*"
`;

describe.skipIf(!isRoot || missing.length > 0)('a file that a person has to approve', () => {
  const desk = new FileDesk('the user of the tests');
  const approvals = desk.place.join('approvals');
  const settings = { AGENT3_APPROVALS_DIR: approvals };

  beforeAll(async () => {
    mkdirSync(approvals, { mode: 0o750 });
    const work = `extends = "workspace"\ndirectory = "WORK"\n${RULES}`;
    await desk.start({ careful: `extends = "full"\n${RULES}`, boxed: work }, settings);
  });
  afterAll(() => desk[Symbol.asyncDispose]());

  const at = (name: string): string => `${desk.work}/${name}`;
  const env = () => ({ ...settings, AGENT3_SESSIONS_DIR: desk.agent.sessionsDir });
  const approve = async (session: unknown): Promise<void> => {
    const shown = await agent3(['approval', 'show', String(session), '--json'], env());
    const { digest } = JSON.parse(shown.stdout) as { digest: string };
    const { code, stderr } = await agent3(['approval', 'approve', String(session), '--digest', digest], env());
    expect([code, stderr]).toEqual([0, '']);
  };
  const outcome = (token: string, session: unknown) => desk.call(token, 'read_session', { session, wait: 20 });

  test.each(['careful', 'boxed'])(
    'in %s is shown with its diff and hashes, and changed when it was approved',
    async (token) => {
      const path = desk.put(`${token}-a`, 'one\ntwo\n');
      const asked = await desk.call(token, 'edit_file', { path, edits: [{ old: 'two', new: 'three' }] });
      expect(asked).toMatchObject({
        http: 200,
        status: 'waiting',
        reason: 'people look at it',
      });
      expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
      const { stdout } = await agent3(['approval', 'show', String(asked['session'])], env());
      for (const shown of [
        'edit_file',
        path,
        'mode 0644',
        sha256('one\ntwo\n'),
        sha256('one\nthree\n'),
        '-two',
        '+three',
      ])
        expect(stdout).toContain(shown);
      await approve(asked['session']);
      const done = await outcome(token, asked['session']);
      expect(done).toMatchObject({ status: 'done', exit_code: 0 });
      expect(done['stdout']).toContain('+three');
      expect(readFileSync(path, 'utf8')).toBe('one\nthree\n');
      const undone = await desk.call(token, 'undo', { path });
      expect(undone).toMatchObject({ status: 'waiting' });
      await approve(undone['session']);
      expect(await outcome(token, undone['session'])).toMatchObject({ exit_code: 0 });
      expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
    },
  );

  test('says why once in the lean doors, and what came of it in plain lines', async () => {
    const asked = await desk.lean('careful', 'write_file', { path: at('said'), content: 'new', mode: '600' });
    expect(asked).toMatchObject({ status: 'waiting', message: expect.stringContaining('people look at it') });
    expect(asked).not.toHaveProperty('reason');
    await approve(asked['session']);
    const done = await desk.lean('careful', 'read_session', { session: asked['session'], wait: 20 });
    expect(done['stdout']).toBe('size: 3\ncreated: true\n');
  });

  test.each(['careful', 'boxed'])(
    'in %s stays as it is when it has changed meanwhile, or its directory',
    async (token) => {
      const path = desk.put(`${token}-b`, 'old');
      const asked = await desk.call(token, 'write_file', { path, content: 'new' });
      desk.put(`${token}-b`, 'other');
      await approve(asked['session']);
      const done = await outcome(token, asked['session']);
      expect(done).toMatchObject({
        status: 'done',
        exit_code: 1,
        stderr: expect.stringContaining('has changed since the request'),
      });
      // A lean door leaves that stream out, and not the reason.
      expect(await desk.lean(token, 'read_session', { session: asked['session'] })).toMatchObject({
        message: expect.stringContaining('has changed since the request, so nothing was done.'),
      });
      expect(readFileSync(path, 'utf8')).toBe('other');

      mkdirSync(at(`${token}-dir`));
      mkdirSync(at(`${token}-elsewhere`));
      const inDirectory = await desk.call(token, 'write_file', { path: at(`${token}-dir/f`), content: 'new' });
      renameSync(at(`${token}-dir`), at(`${token}-moved`));
      symlinkSync(at(`${token}-elsewhere`), at(`${token}-dir`));
      await approve(inDirectory['session']);
      expect(await outcome(token, inDirectory['session'])).toMatchObject({ exit_code: 1 });
      for (const name of ['elsewhere', 'moved']) expect(existsSync(at(`${token}-${name}/f`))).toBe(false);
    },
  );

  test('is not changed when it was denied, taken back, or the request on the disk was changed', async () => {
    const path = desk.put('c', 'old');
    const write = async () => (await desk.call('careful', 'write_file', { path, content: 'new' }))['session'];
    const denied = await write();
    await agent3(['approval', 'deny', String(denied), '--why', 'not now'], env());
    expect(await outcome('careful', denied)).toMatchObject({ status: 'denied', exit_code: 126 });
    expect(await desk.lean('careful', 'read_session', { session: denied })).toMatchObject({
      stdout: '',
      message: expect.stringContaining('denied it: not now. Do not try it in another way'),
    });
    expect(await desk.lean('careful', 'read_session', { session: denied, stream: 'stderr' })).toMatchObject({
      stderr: expect.stringContaining('denied it: not now'),
      message: 'Do not try it in another way: do the task without it, or tell the user.',
    });
    expect(await desk.lean('careful', 'read_session', { session: denied, match: 'x' })).toMatchObject({
      message: expect.stringContaining('denied it: not now'),
    });
    const taken = await write();
    await desk.call('careful', 'kill_session', { session: taken });
    expect(await outcome('careful', taken)).toMatchObject({ status: 'denied' });
    const forged = await write();
    const file = `${desk.agent.sessionsDir}/.approvals/${forged}.json`;
    const request = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...request, file: { ...request.file, after_sha256: sha256('harmless') } }));
    expect(await outcome('careful', forged)).toMatchObject({ status: 'denied' });
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  test('is read when that was approved', async () => {
    const path = desk.put('private', 'for your eyes\n');
    const asked = await desk.call('careful', 'read_file', { path });
    expect(asked).toMatchObject({ status: 'waiting' });
    expect(JSON.stringify(asked)).not.toContain('eyes');
    await approve(asked['session']);
    expect((await outcome('careful', asked['session']))['stdout']).toStartWith('for your eyes\n');
  });

  test.each(['careful', 'boxed'])(
    'in %s keeps the mode and owner that were shown, or stays as it is',
    async (token) => {
      const path = desk.put(`${token}-mode`, 'old', 0o600);
      const has = () => {
        const { mode, uid, gid } = statSync(path);
        return [(mode & 0o7777).toString(8), uid, gid, readFileSync(path, 'utf8')];
      };
      const refused = { exit_code: 1, stderr: expect.stringContaining('has changed since the request') };
      for (const args of [{}, { mode: '640' }]) {
        chmodSync(path, 0o600);
        const asked = await desk.call(token, 'write_file', { path, content: 'new', ...args });
        const { stdout } = await agent3(['approval', 'show', String(asked['session'])], env());
        expect(stdout).toContain('mode' in args ? 'mode 0640 instead of 0600' : 'mode 0600');
        expect(stdout).toContain('owner 0:0');
        chmodSync(path, 0o4777);
        await approve(asked['session']);
        expect(await outcome(token, asked['session'])).toMatchObject(refused);
        expect(has()).toEqual(['4777', 0, 0, 'old']);
      }
      const asked = await desk.call(token, 'write_file', { path, content: 'new' });
      chownSync(path, 9, 13);
      await approve(asked['session']);
      expect(await outcome(token, asked['session'])).toMatchObject(refused);
      expect(has()).toEqual(['777', 9, 13, 'old']);
    },
  );

  test('shows who is to own it, when an undo changes its owner', async () => {
    const path = desk.put('owner', 'old');
    chownSync(path, 9, 13);
    const asked = await desk.call('careful', 'write_file', { path, content: 'new' });
    await approve(asked['session']);
    expect(await outcome('careful', asked['session'])).toMatchObject({ exit_code: 0 });
    chownSync(path, 0, 0);
    const undone = await desk.call('careful', 'undo', { path });
    const { stdout } = await agent3(['approval', 'show', String(undone['session'])], env());
    expect(stdout).toContain('owner 9:13 instead of 0:0');
    await approve(undone['session']);
    expect(await outcome('careful', undone['session'])).toMatchObject({ exit_code: 0 });
    expect([statSync(path).uid, statSync(path).gid, readFileSync(path, 'utf8')]).toEqual([9, 13, 'old']);
  });

  test('is not told about before somebody has approved that it is read', async () => {
    const path = desk.put('private-edit', 'pin = 1234\n');
    const edit = (old: string) => desk.call('careful', 'edit_file', { path, edits: [{ old, new: 'pin = 0' }] });
    const [right, wrong] = [await edit('pin = 1'), await edit('pin = 2')];
    const told = ({ session: _, message: __, ...rest }: typeof right) => rest;
    expect(right).toMatchObject({ http: 200, status: 'waiting' });
    expect(told(wrong)).toEqual(told(right));
    await approve(wrong['session']);
    expect(await outcome('careful', wrong['session'])).toMatchObject({
      exit_code: 1,
      stderr: expect.stringContaining('is not in'),
    });
    await approve(right['session']);
    expect(await outcome('careful', right['session'])).toMatchObject({ exit_code: 0 });
    expect(readFileSync(path, 'utf8')).toBe('pin = 0234\n');
  });

  test('is on record: asked, approved, changed', async () => {
    const path = desk.put('d', 'old');
    const { session } = await desk.call('careful', 'write_file', { path, content: 'new' });
    await approve(session);
    await outcome('careful', session);
    const lines = readFileSync(desk.settings['AGENT3_AUDIT_FILE'] ?? '', 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['session'] === session && line['op'] !== 'read_session');
    expect(lines).toMatchObject([
      { event: 'decision', decision: 'asked', before_sha256: sha256('old'), after_sha256: sha256('new') },
      { event: 'decision', decision: 'approved' },
      { event: 'operation', op: 'write_file', path, after_sha256: sha256('new'), approved_by: expect.any(String) },
      { event: 'end', status: 'done', exit_code: 0 },
    ]);
  });

  test.each(['careful', 'boxed'])('in %s is uploaded, and put in its place when it was approved', async (token) => {
    const path = desk.put(`${token}-up`, 'before');
    const { url } = await desk.call(token, 'upload', { path });
    const sent = await put(String(url), 'after');
    expect(sent).toMatchObject({ status: 202, body: { status: 'waiting', bytes: 5, sha256: sha256('after') } });
    expect((await put(String(url), 'another')).status).toBe(409);
    const { stdout } = await agent3(['approval', 'show', String(sent.body['session'])], env());
    for (const shown of ['upload', path, sha256('after'), '5 bytes']) expect(stdout).toContain(shown);
    expect(readFileSync(path, 'utf8')).toBe('before');
    await approve(sent.body['session']);
    expect(await outcome(token, sent.body['session'])).toMatchObject({ status: 'done', exit_code: 0 });
    expect(readFileSync(path, 'utf8')).toBe('after');
    expect((await fetch(String(url), { method: 'HEAD' })).status).toBe(410);
  });

  describe.each(['careful', 'boxed'])('in %s', (token) => {
    test.each([
      ['rewritten', (waiting: string) => writeFileSync(waiting, 'EVIL!')],
      ['made longer', (waiting: string) => appendFileSync(waiting, 'EVIL')],
      [
        'replaced',
        (waiting: string) => {
          rmSync(waiting);
          writeFileSync(waiting, 'after');
        },
      ],
      [
        'replaced with a link',
        (waiting: string) => {
          renameSync(waiting, at('kept'));
          symlinkSync('kept', waiting);
        },
      ],
    ])('is not put in its place when what was uploaded was %s while it waited', async (what, change) => {
      const path = desk.put(`${token}-${what.replaceAll(' ', '-')}`, 'before');
      const before = readdirSync(dirname(path));
      const { url } = await desk.call(token, 'upload', { path });
      const { body } = await put(String(url), 'after');
      // What somebody has put there instead of an upload before is still there.
      const [waiting = ''] = readdirSync(dirname(path)).filter((name) => !before.includes(name));
      // The last piece may still be on its way to the disk when the upload is answered.
      await eventually('the bytes are there', () => readFileSync(join(dirname(path), waiting), 'utf8') === 'after');
      change(join(dirname(path), waiting));
      await approve(body['session']);
      const { exit_code, stdout, stderr } = await outcome(token, body['session']);
      expect({ exit_code, said: `${stdout}${stderr}` }).toEqual({
        exit_code: 1,
        said: expect.stringContaining('changed during the upload'),
      });
      expect([readFileSync(path, 'utf8'), lstatSync(path).isFile()]).toEqual(['before', true]);
    });
  });

  test('is not put in its place when an upload was denied', async () => {
    const path = desk.put('denied-up', 'before');
    const { url } = await desk.call('careful', 'upload', { path });
    const { body } = await put(String(url), 'after');
    expect((await agent3(['approval', 'deny', String(body['session'])], env())).code).toBe(0);
    expect(await outcome('careful', body['session'])).toMatchObject({ status: 'denied' });
    expect(readFileSync(path, 'utf8')).toBe('before');
  });

  test('is downloaded when it was approved, and nothing of it is said before', async () => {
    const path = desk.put('private-down', 'secret');
    const asked = await desk.call('careful', 'download', { path });
    const url = String(asked['url']);
    expect(asked['status']).toBe('waiting');
    expect(JSON.stringify(asked)).not.toContain(sha256('secret'));
    for (const method of ['GET', 'HEAD']) expect((await fetch(url, { method })).status).toBe(409);
    await approve(asked['session']);
    expect(await outcome('careful', asked['session'])).toMatchObject({ exit_code: 0 });
    expect(await (await fetch(url)).text()).toBe('secret');
  });

  test('is waited for by agent3 cp, both ways', async () => {
    const [from, to, back] = [desk.place.join('cp-from'), at('private-cp'), desk.place.join('cp-back')];
    writeFileSync(from, 'copied');
    const agent = { url: desk.agent.url, token: desk.tokens['careful'] ?? '' };
    for (const words of [
      [from, `:${to}`],
      [`:${to}`, back],
    ]) {
      const copying = new Client(agent, ['cp', ...words]);
      const said = await copying.shows('(session ', 'stderr');
      await approve(/\(session ([0-9a-f-]{36})\)/.exec(said)?.[1]);
      expect((await copying.ended()).code).toBe(0);
    }
    expect([readFileSync(to, 'utf8'), readFileSync(back, 'utf8')]).toEqual(['copied', 'copied']);
    const denied = new Client(agent, ['cp', from, `:${to}`]);
    const [, session = ''] = /\(session ([0-9a-f-]{36})\)/.exec(await denied.shows('(session ', 'stderr')) ?? [];
    await agent3(['approval', 'deny', session], env());
    const { code, stderr } = await denied.ended();
    expect([code, stderr.toString()]).toEqual([1, expect.stringContaining('denied it')]);
  });
});
