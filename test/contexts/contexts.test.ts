import { afterEach, describe, expect, test } from 'bun:test';
import { readdirSync, writeFileSync } from 'node:fs';
import { Contexts } from '../../src/contexts/contexts.ts';
import { Deadline, OneShotEvent } from '../../src/lib/clock.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
afterEach(() => {
  for (const name of readdirSync(directory.path)) Bun.spawnSync(['rm', '-rf', directory.join(name)]);
});

let nowMs = 1_000_000_000_000;
const open = (): Contexts => new Contexts(directory.path, { now: () => nowMs, elapsed: () => nowMs });
const NONE = { given: new Set<string>(), hasDirectory: false };
const owner = (name: string, walls = '', principal = 'token') => ({ principal, name, walls });
const enter = (contexts: Contexts, of: ReturnType<typeof owner>, seconds = 0) =>
  contexts.enter(of, NONE, Deadline.after(seconds), new OneShotEvent());

/** A session whose shell has left this state. */
function sessionOf({ principal, ...context }: ReturnType<typeof owner>, ...states: string[]) {
  const path = directory.join('state');
  writeFileSync(path, states.join(''), 'latin1');
  return { id: 'an id', record: { principal, context }, path: () => path };
}
const FRESH = '[\0d/\0]\0';
const WITH_X = '[\0d/usr\0vdeclare -- x="1"\n\0]\0';
const put = async (contexts: Contexts, of: ReturnType<typeof owner>): Promise<unknown> => {
  await enter(contexts, of);
  return contexts.keep(sessionOf(of, FRESH, WITH_X), true);
};

describe('contexts', () => {
  test('are found again by another agent on the same directory', async () => {
    expect(await put(open(), owner('a'))).toEqual({});
    const held = await enter(open(), owner('a'));
    expect(held.cwd).toBe('/usr');
    expect(held.items.map(({ text }) => text)).toEqual(['declare -- x="1"']);
    expect((await enter(open(), owner('a', '', 'other'))).items).toEqual([]);
  });

  test('are taken one after the other', async () => {
    const contexts = open();
    const first = await enter(contexts, owner('a'));
    const refused = enter(contexts, owner('a')).catch((error: Error) => error.message);
    expect(await refused).toStartWith('The context a is in use by another call. Nothing was run');
    const order: string[] = [];
    const waiting = ['b', 'c'].map(async (name) => {
      const held = await enter(contexts, owner('a'), 30);
      order.push(name);
      held.release();
    });
    first.release();
    await Promise.all(waiting);
    expect(order).toEqual(['b', 'c']);
  });

  test('begin empty behind other walls', async () => {
    const contexts = open();
    await put(contexts, owner('a'));
    const held = await enter(contexts, owner('a', 'others'));
    expect(held).toMatchObject({ items: [], note: expect.stringContaining('was dropped and begins empty') });
    held.release();
    expect(contexts.list('token')).toEqual([]);
  });

  test('expire when nobody has used them for long', async () => {
    const contexts = open();
    await put(contexts, owner('old'));
    nowMs += 60_000;
    await put(contexts, owner('new'));
    contexts.expire(30);
    expect(contexts.list('token').map(({ name }) => name)).toEqual(['new']);
    expect(readdirSync(directory.join('.contexts'))).toHaveLength(1);
  });

  test('are at most 16 of a token', async () => {
    const contexts = open();
    for (let count = 0; count < 16; count++) await put(contexts, owner(`c${count}`));
    const refused = put(contexts, owner('more')).catch((error: Error) => error.message);
    expect(await refused).toStartWith('This token has 16 contexts');
    expect(await put(contexts, owner('more', '', 'other'))).toEqual({});
    expect(await put(contexts, owner('c3'))).toEqual({});
  });

  test('stay as they were where what is left of a shell is nothing, too much or no file', async () => {
    const contexts = open();
    await put(contexts, owner('a'));
    const keep = async (...states: string[]) => {
      await enter(contexts, owner('a'));
      return contexts.keep(sessionOf(owner('a'), ...states), true).context_note;
    };
    expect(await keep(FRESH)).toContain('its shell ended before it could be saved');
    expect(await keep(FRESH, `[\0d/\0vdeclare -- y="${'y'.repeat(600_000)}"\n\0]\0`)).toContain(
      'more than 524288 bytes',
    );
    expect(await keep(FRESH, 'x'.repeat(2_000_000))).toContain('more than 524288 bytes');
    expect(await keep(FRESH, '[\0d/\xff\0]\0')).toContain('keeps its old directory');
    await enter(contexts, owner('a'));
    const gone = { ...sessionOf(owner('a')), path: () => directory.join('nothing') };
    expect(contexts.keep(gone, true).context_note).toContain('could not be stored (ENOENT)');
    const held = await enter(contexts, owner('a'));
    expect(held.cwd).toBe('/usr');
  });

  test('that are damaged on the disk are begun again', async () => {
    await put(open(), owner('a'));
    const [file = ''] = readdirSync(directory.join('.contexts'));
    writeFileSync(directory.join(`.contexts/${file}`), 'x');
    expect((await enter(open(), owner('a'))).items).toEqual([]);
  });
});
