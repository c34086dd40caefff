import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { canonical, hex, newOrder, type OrderResult, sha256 } from '../../../src/console/order.ts';
import type { PastChanges, ShownChange } from '../../../src/console/shown-past.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

/** Nothing may be written but by a person's leave. */
const careful = (directory: string) => `extends = "full"\n[[rules]]\naction = "confirm"\nwrites = "${directory}/*"\n`;

describe.skipIf(process.geteuid?.() !== 0)('an undo by the owner', () => {
  // A sandbox has a /tmp of its own.
  const place = new TemporaryDirectory('/srv');
  const files = new ConsoleFiles();
  let agent: Agent;
  let wire: WireClient;
  let settings: Readonly<Record<string, string>>;

  beforeAll(async () => {
    for (const name of ['profiles.d', 'approvals']) mkdirSync(place.join(name), { mode: 0o755 });
    writeFileSync(place.join('profiles.d/careful.toml'), 'extends = "full"\n');
    mkdirSync(place.join('walled/sub'), { recursive: true });
    mkdirSync(place.join('outside'));
    chmodSync(place.path, 0o755);
    const walls = `extends = "workspace"\ndirectory = "${place.join('walled')}"\nmask = false\n`;
    writeFileSync(place.join('profiles.d/walled.toml'), walls);
    await files.pin();
    settings = {
      ...files.settings,
      AGENT3_AUDIT_FILE: place.join('audit.jsonl'),
      AGENT3_APPROVALS_DIR: place.join('approvals'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_TOKENS_FILE: place.join('tokens.json'),
      AGENT3_PROFILE: 'careful',
    };
    agent = await startAgent(settings);
    const { AGENT3_CONSOLE_SOCKET: socket, AGENT3_CONSOLE_KEY: key } = files.settings;
    wire = new WireClient(socket, key);
  });
  afterAll(async () => {
    wire?.close();
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const show = async (change: string) => (await wire.request('change', { change })) as ShownChange;
  const result = async (id: string) => (await wire.request('order', { id, wait_ms: 10_000 })) as OrderResult;
  /** A file that a token has changed from `one` to `two`, and that change. */
  const changed = async (name: string): Promise<ShownChange> => {
    const path = place.join(name);
    writeFileSync(path, 'one\n');
    const { change } = JSON.parse((await agent.call('write_file', { path, content: 'two\n' })).text);
    return await show(String(change));
  };
  const orderOf = async (shown: ShownChange) => ({
    ...({ kind: 'undo', change: shown.change, path: shown.path, expected: shown.now } as const),
    digest: hex(await sha256(canonical(shown))),
  });
  const undo = async (shown: ShownChange, more = {}, phone = files.phone) =>
    result(await files.leaveSigned({ ...(await orderOf(shown)), ...more }, phone));
  const contentOf = ({ path }: ShownChange) => readFileSync(path, 'utf8');

  test('shows the change, puts back what the file had, and is on record with its signature', async () => {
    const shown = await changed('plain');
    expect(shown).toMatchObject({ op: 'write_file', token: 'default', obstacle: '', before_bytes: 4, after_bytes: 4 });
    expect(shown.diff).toContain('-one\n+two\n');
    const { changes } = (await wire.request('changes', { text: 'PLAIN' })) as PastChanges;
    expect(changes.map(({ change }) => change)).toEqual([shown.change]);
    // The token itself may not do this any more; its owner may.
    writeFileSync(place.join('profiles.d/careful.toml'), careful(place.path));
    expect(await undo(shown)).toMatchObject({ state: 'done' });
    expect(contentOf(shown)).toBe('one\n');
    writeFileSync(place.join('profiles.d/careful.toml'), 'extends = "full"\n');
    const line = readFileSync(place.join('audit.jsonl'), 'utf8')
      .split('\n')
      .find((one) => one.includes(`"undoes":"${shown.change}"`));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      op: 'undo',
      address: 'console',
      by: expect.stringMatching(/passkey/),
    });
    const verified = await agent3(['audit', 'verify', '--file', place.join('audit.jsonl')], settings);
    expect(verified.stdout).toMatch(/orders signed by passkeys: 1 by/);
    expect((await show(shown.change)).obstacle).toContain('from before this change');
  });

  test('counts once, and only signed by a pinned passkey', async () => {
    const shown = await changed('once');
    const order = { ...newOrder(), ...(await orderOf(shown)) };
    expect(await result(files.leave({ ...newOrder(), ...(await orderOf(shown)) }))).toMatchObject({ state: 'refused' });
    expect(await undo(shown, {}, new Authenticator())).toMatchObject({ state: 'refused' });
    expect(contentOf(shown)).toBe('two\n');
    const assertion = await files.phone.sign(order);
    expect(await result(files.leave(order, { assertion }))).toMatchObject({ state: 'done' });
    writeFileSync(shown.path, 'two\n');
    // The same assertion in the file of another order, and as it was.
    const again = { ...order, id: newOrder().id };
    expect(await result(files.leave(again, { assertion }))).toMatchObject({ state: 'refused' });
    expect(await undo(shown)).toMatchObject({ state: 'refused', why: 'it is not the change that was shown' });
    expect(contentOf(shown)).toBe('two\n');
  });

  test('is of the change, the path and the content that were shown, and of no other', async () => {
    const [shown, other] = [await changed('shown'), await changed('other')];
    const wrong = { state: 'refused', why: 'it is not the change that was shown' };
    expect(await undo(shown, { change: other.change })).toMatchObject(wrong);
    expect(await undo(shown, { path: other.path })).toMatchObject(wrong);
    expect(await undo(shown, { change: other.change, path: other.path, expected: other.now })).toMatchObject(wrong);
    // A console that was taken over shows something harmless.
    expect(await undo({ ...shown, diff: 'nothing' })).toMatchObject(wrong);
    expect([contentOf(shown), contentOf(other)]).toEqual(['two\n', 'two\n']);
    // Somebody has changed it since.
    writeFileSync(shown.path, 'three\n');
    expect(await undo(shown)).toMatchObject({
      state: 'refused',
      why: expect.stringContaining('has changed since it was shown'),
    });
    expect(contentOf(shown)).toBe('three\n');
    expect((await show(shown.change)).obstacle).toContain('was changed again since then');
  });

  test.skipIf(ensurePrograms('bwrap').length > 0)(
    'stays behind the walls of the token, whatever its directory has become',
    async () => {
      const token = (await agent3(['token', 'create', 'walled', '--profile', 'walled'], settings)).stdout.trim();
      const call = async (args: object) => {
        const body = JSON.stringify({ op: 'write_file', args });
        const sent = { method: 'POST', headers: { 'x-auth-token': token }, body };
        const { status, text } = await agent.request('/', sent);
        return status === 200 && JSON.parse(text);
      };
      const path = place.join('walled/sub/file');
      writeFileSync(path, 'one\n');
      const { change } = await eventually('the token is known', () => call({ path, content: 'two\n' }));
      const shown = await show(change);
      expect(shown).toMatchObject({ token: 'walled', obstacle: '' });
      renameSync(place.join('walled/sub'), place.join('walled/old'));
      writeFileSync(place.join('outside/file'), 'two\n');
      symlinkSync(place.join('outside'), place.join('walled/sub'));
      expect(await undo(shown)).toMatchObject({ state: 'refused' });
      expect(readFileSync(place.join('outside/file'), 'utf8')).toBe('two\n');
      rmSync(place.join('walled/sub'));
      renameSync(place.join('walled/old'), place.join('walled/sub'));
      expect(await undo(await show(change))).toMatchObject({ state: 'done' });
      expect(readFileSync(path, 'utf8')).toBe('one\n');
    },
  );

  test('removes what was not there before, and makes again what is gone', async () => {
    const path = place.join('new');
    const { change } = JSON.parse((await agent.call('write_file', { path, content: 'new\n' })).text);
    expect(await undo(await show(String(change)))).toMatchObject({ state: 'done' });
    expect(existsSync(path)).toBe(false);
    const gone = await changed('gone');
    rmSync(gone.path);
    expect(await undo(await show(gone.change))).toMatchObject({ state: 'done' });
    expect(contentOf(gone)).toBe('one\n');
    expect(await wire.request('change', { change: newOrder().id }).catch(String)).toContain('no longer stored');
  });
});
