import { afterAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { hexOf, linkFor, put } from '../../helpers/links.ts';
import { eventually } from '../../helpers/waiting.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms('bwrap', 'setpriv').length === 0;

/** A user of every Debian that owns nothing. */
const OTHER = { uid: 65_534, gid: 65_534 };
/** The user of an agent that is not root. */
const OWN = 1777;

describe.skipIf(!canTry).each(['root', 'another user'] as const)('transfers of an agent of %s', (kind) => {
  const isRoot = kind === 'root';
  const place = `/srv/agent3-transfer-${process.pid}-${isRoot ? 'root' : 'user'}`;
  const at = (name: string): string => join(place, name);
  const files = new TemporaryDirectory();
  const profiles = files.join('profiles.d');
  const settings = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: profiles };
  const owner = isRoot ? 0 : OWN;
  const make = (path: string, mode = 0o755, uid = owner, gid = uid): void => {
    mkdirSync(path);
    chmodSync(path, mode);
    chownSync(path, uid, gid);
  };
  const tokens = new Map<string, string>();
  let agent: Agent;

  const setUp = async (): Promise<void> => {
    if (tokens.size > 0) return;
    chmodSync(files.path, 0o755);
    mkdirSync(profiles);
    make(place);
    make(at('work'));
    make(at('others'), 0o755, OTHER.uid, OTHER.gid);
    writeFileSync(at('work/.env'), 'SECRET=1');
    writeFileSync(at('public'), 'for everybody');
    writeFileSync(at('private'), 'for root alone', { mode: 0o600 });
    const rules =
      '[[rules]]\nwrites = ["/srv/**/locked/**"]\naction = "deny"\nreason = "it is locked"\n[[rules]]\nwrites = ["/srv/**/asked/**"]\naction = "confirm"\nreason = "a person looks at it"\n';
    const all: Record<string, string> = {
      all: 'extends = "full"',
      look: 'extends = "readonly"',
      work: `extends = "workspace"\ndirectory = "${at('work')}"\nhide = ["${at('work')}/.env"]\n`,
      small: 'extends = "full"\n[limits]\nfile_mib = 1\n',
      ruled: `extends = "full"\n${rules}`,
      none: 'extends = "full"\noperations = ["shell"]\n',
      ...(isRoot && { other: 'extends = "full"\nuser = "nobody"\n' }),
    };
    for (const [name, text] of Object.entries(all)) {
      writeFileSync(join(profiles, `${name}.toml`), text);
      tokens.set(name, (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim());
    }
    chmodSync(settings.AGENT3_TOKENS_FILE, 0o644);
    const become = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
    agent = await startAgent(settings, isRoot ? [] : ['sh', '-c', become, String(OWN)]);
  };
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    rmSync(place, { recursive: true, force: true });
  });

  const link = async (profile: string, operation: 'upload' | 'download', args: object) => {
    await setUp();
    return linkFor({ url: agent.url, token: tokens.get(profile) ?? '' }, operation, args);
  };
  const read = async (profile: string, path: string): Promise<string> => {
    const { url, ...refused } = await link(profile, 'download', { path });
    return url === undefined ? JSON.stringify(refused) : await (await fetch(url)).text();
  };
  const write = async (profile: string, path: string, bytes: Uint8Array | string, more: object = {}) => {
    const { url, ...refused } = await link(profile, 'upload', { path, ...more });
    return url === undefined ? { status: refused.status, body: refused } : await put(url, bytes);
  };
  const confined = isRoot ? ['look', 'work', 'small', 'other'] : ['look', 'work', 'small'];
  const large = (): Uint8Array => {
    const bytes = new Uint8Array(3_400_000);
    for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    return bytes;
  };

  test('every profile reads what a command of it could read', async () => {
    for (const profile of ['all', ...confined]) expect(await read(profile, at('public'))).toBe('for everybody');
  });

  test('no profile reads what is hidden from it, or what its user may not read', async () => {
    for (const profile of ['look', 'work'])
      expect(await read(profile, '/etc/shadow')).toMatch(/permission denied|not a regular file|does not exist|device/);
    expect(await read('work', at('work/.env'))).toMatch(/not a regular file|permission denied|device/);
    for (const profile of isRoot ? ['look', 'other'] : ['all', 'look', 'small'])
      expect(await read(profile, at('private'))).toMatch(/permission denied/);
  });

  test('a link in a workspace leads to nothing that is hidden', async () => {
    await setUp();
    symlinkSync('/etc/shadow', at('work/link'));
    symlinkSync('/etc', at('work/directory'));
    expect(await read('work', at('work/link'))).toMatch(/symbolic link/);
    expect(await read('work', at('work/directory/shadow'))).toMatch(
      /permission denied|not a regular file|does not exist/,
    );
    expect((await write('work', at('work/directory/agent3-test'), 'x')).status).toBe(400);
    expect(existsSync('/etc/agent3-test')).toBe(false);
  });

  test('large files pass whole, in ranges too', async () => {
    await setUp();
    const bytes = large();
    writeFileSync(at('large'), bytes);
    for (const profile of ['all', ...confined]) {
      const { url, sha256 } = await link(profile, 'download', { path: at('large') });
      expect(sha256).toBe(hexOf(bytes));
      const part = await fetch(url, { headers: { range: 'bytes=1048570-2097160' } });
      expect(hexOf(await part.bytes())).toBe(hexOf(bytes.subarray(1_048_570, 2_097_161)));
      const [one, other] = await Promise.all([fetch(url, { headers: { range: 'bytes=5-3000000' } }), fetch(url)]);
      expect(hexOf(await one.bytes())).toBe(hexOf(bytes.subarray(5, 3_000_001)));
      expect(hexOf(await other.bytes())).toBe(hexOf(bytes));
    }
  });

  test('a workspace is written to, and nothing else', async () => {
    const bytes = large();
    expect(await write('work', at('work/new'), bytes)).toMatchObject({ status: 201, body: { sha256: hexOf(bytes) } });
    expect(hexOf(readFileSync(at('work/new')))).toBe(hexOf(bytes));
    expect(statSync(at('work/new')).mode & 0o7777).toBe(0o644);
    expect(await write('work', at('outside'), 'x')).toMatchObject({ status: 400 });
    expect(await write('look', at('work/other'), 'x')).toMatchObject({ status: 400 });
    for (const profile of ['look', 'work'])
      expect(await write(profile, '/tmp/agent3-lost', 'x')).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining('lost at once') },
      });
    expect(readdirSync(at('work')).filter((name) => name.startsWith('.agent3'))).toEqual([]);
  });

  test('what is replaced keeps its mode; a body can be taken up again, or begun again', async () => {
    await setUp();
    writeFileSync(at('work/kept'), 'before');
    chmodSync(at('work/kept'), 0o640);
    chownSync(at('work/kept'), owner, owner);
    const { url } = await link('work', 'upload', { path: at('work/kept') });
    expect((await put(url, 'wrong', { 'content-range': 'bytes 0-4/9' })).status).toBe(202);
    expect((await put(url, 'af', { 'content-range': 'bytes 0-1/5' })).status).toBe(202);
    expect(readFileSync(at('work/kept'), 'utf8')).toBe('before');
    expect((await put(url, 'ter', { 'content-range': 'bytes 2-4/5' })).body).toMatchObject({ sha256: hexOf('after') });
    expect([readFileSync(at('work/kept'), 'utf8'), statSync(at('work/kept')).mode & 0o7777]).toEqual(['after', 0o640]);
  });

  if (isRoot) {
    test('a profile with a user writes as that user', async () => {
      expect(await write('other', at('others/mine'), 'x', { mode: '600' })).toMatchObject({ status: 201 });
      const { uid, mode } = statSync(at('others/mine'));
      expect([uid, mode & 0o7777]).toEqual([OTHER.uid, 0o600]);
      expect(await write('other', at('work/theirs'), 'x')).toMatchObject({ status: 400 });
    });
  }

  test('the size of a file is limited as for a command', async () => {
    expect(await write('small', at('work/fits'), new Uint8Array(1_048_576))).toMatchObject({ status: 201 });
    expect(await write('small', at('work/large'), new Uint8Array(1_048_577))).toMatchObject({ status: 413 });
    expect(existsSync(at('work/large'))).toBe(false);
  });

  test('a directory that is swapped for a link after the link was made is written to no more by its name', async () => {
    await setUp();
    for (const name of ['swapped', 'elsewhere']) make(at(`work/${name}`));
    for (const profile of ['all', 'work']) {
      const { url } = await link(profile, 'upload', { path: at(`work/swapped/${profile}`) });
      renameSync(at('work/swapped'), at('work/moved'));
      symlinkSync(at('work/elsewhere'), at('work/swapped'));
      expect((await put(url, 'x')).status).toBe(201);
      expect(readdirSync(at('work/elsewhere'))).toEqual([]);
      expect(readFileSync(at(`work/moved/${profile}`), 'utf8')).toBe('x');
      rmSync(at('work/swapped'));
      renameSync(at('work/moved'), at('work/swapped'));
    }
  });

  test('a full disk is said, and what was there is whole', async () => {
    await setUp();
    make(at('full'));
    const options = `size=1m,mode=755,uid=${owner},gid=${owner}`;
    expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', at('full')]).exitCode).toBe(0);
    try {
      writeFileSync(at('full/kept'), 'kept');
      chownSync(at('full/kept'), owner, owner);
      const full = await write('small', at('full/kept'), new Uint8Array(1_048_576));
      expect(full).toMatchObject({ status: 503, body: { message: expect.stringContaining('the disk is full') } });
      await eventually('the part is gone', () => readdirSync(at('full')).join() === 'kept');
      expect(readFileSync(at('full/kept'), 'utf8')).toBe('kept');
    } finally {
      Bun.spawnSync(['umount', '--lazy', at('full')]);
    }
  });

  test('rules on writes hold', async () => {
    await setUp();
    for (const name of ['locked', 'asked', 'free']) make(at(name));
    expect(await write('ruled', at('locked/x'), 'x')).toMatchObject({ status: 403, body: { error: 'Forbidden' } });
    const asked = await write('ruled', at('asked/x'), 'x');
    expect(asked).toMatchObject({ status: 403, body: { message: expect.stringContaining('cannot ask one') } });
    symlinkSync(at('locked'), at('free/way'));
    expect(await write('ruled', at('free/way/x'), 'x')).toMatchObject({ status: 403 });
    expect(await write('ruled', `${at('free')}/../locked/x`, 'x')).toMatchObject({ status: 400 });
    expect(readdirSync(at('locked'))).toEqual([]);
    expect(await write('ruled', at('free/x'), 'x')).toMatchObject({ status: 201 });
  });

  test('a profile that does not allow the operations returns no link', async () => {
    for (const operation of ['upload', 'download'] as const)
      expect(await link('none', operation, { path: at('public') })).toMatchObject({
        status: 403,
        error: 'Forbidden',
      });
  });

  test('a link ends with its token, and when its profile becomes another', async () => {
    await setUp();
    make(at('work/changing'));
    const ended = await link('all', 'download', { path: at('public') });
    const changed = await link('work', 'upload', { path: at('work/changing/file') });
    expect((await agent3(['token', 'revoke', 'all'], settings)).code).toBe(0);
    writeFileSync(join(profiles, 'work.toml'), 'extends = "readonly"\n');
    await eventually('both have ended', async () => {
      const [one, other] = await Promise.all([
        fetch(ended.url, { method: 'HEAD' }),
        put(changed.url, 'x', { 'content-range': 'bytes 0-0/2' }),
      ]);
      return one.status === 404 && other.status === 404;
    });
    await eventually('the part of a file is gone', () => readdirSync(at('work/changing')).length === 0);
  });
});
