import { afterEach, describe, expect, test } from 'bun:test';
import { openSync, readFileSync } from 'node:fs';
import { type ApproveOrder, newOrder, type TakeOverOrder } from '../../src/console/order.ts';
import type { Signature } from '../../src/console/passkeys.ts';
import { TakeOvers } from '../../src/console/take-over.ts';
import { newTypingKeys, type SignedFrame, signFrame, type TypedFrame } from '../../src/console/typed.ts';
import { OneShotEvent } from '../../src/lib/clock.ts';
import { Terminal } from '../../src/process/terminal.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';
import { eventually } from '../helpers/waiting.ts';

const SIZE = { rows: 24, cols: 80 };
type Line = Readonly<Record<string, unknown>>;

/** A command on a real terminal, and an agent in which people take it over. */
class Stage implements Disposable {
  readonly #place = new TemporaryDirectory();
  readonly #output = this.#place.join('stdout');
  readonly #child: Bun.Subprocess;
  readonly terminal = new Terminal(SIZE, openSync(this.#output, 'a'));
  readonly end = new OneShotEvent();
  readonly lines: Line[] = [];
  readonly session = {
    id: crypto.randomUUID(),
    record: { status: 'running', owner_note: undefined as string | undefined },
    typist: undefined as { by: string } | undefined,
    update: (change: { owner_note?: string }) => void Object.assign(this.session.record, change),
  };
  readonly freeze = { isFrozen: false, subscribe: (listener: () => void) => this.#thaws.push(listener) };
  readonly time = { now: Date.now() };
  isPinned = true;
  unpin(): void {
    this.isPinned = false;
  }
  readonly takeOvers: TakeOvers;
  readonly #thaws: (() => void)[] = [];

  constructor(script: string, idleMs?: number) {
    this.#child = Bun.spawn(['bash', '-c', script], { terminal: this.terminal.options() });
    this.terminal.attach(this.#child.terminal);
    const deps = {
      store: { find: (id: string) => (id === this.session.id ? this.session : undefined) },
      commands: {
        inputOf: () => this.terminal,
        endOf: () => (this.end.fired ? undefined : this.end),
        dialogs: { of: () => undefined },
      },
      freeze: this.freeze,
      trail: { agent: (what: string, more: Line) => void this.lines.push({ what, ...more }) },
      clock: { now: () => this.time.now, elapsed: () => 0 },
    };
    this.takeOvers = new TakeOvers(deps as unknown as ConstructorParameters<typeof TakeOvers>[0], idleMs);
  }

  get shown(): string {
    return readFileSync(this.#output, 'utf8').replaceAll('\r', '');
  }

  shows(text: string): Promise<unknown> {
    return eventually(`it shows ${text}`, () => this.shown.includes(text));
  }

  freezeNow(): void {
    this.freeze.isFrozen = true;
    for (const listener of this.#thaws) listener();
  }

  /** What is on record of what was typed. */
  get typed(): Line[] {
    return this.lines.filter((line) => line['what'] === 'typed').map(({ bytes, text }) => ({ bytes, text }));
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    this.terminal.release();
    this.#place[Symbol.dispose]();
  }
}

/** A page that has taken a terminal over. */
class Typist {
  readonly order: TakeOverOrder;
  #n = 0;

  private constructor(
    readonly stage: Stage,
    private readonly privateKey: CryptoKey,
    key: string,
    readonly name: string,
    from: string | null,
  ) {
    this.order = { ...newOrder(), kind: 'take-over', session: stage.session.id, key, from };
  }

  static async of(stage: Stage, name = 'Anna', from: string | null = null): Promise<Typist> {
    const { privateKey, key } = await newTypingKeys();
    return new Typist(stage, privateKey, key, name, from);
  }

  /** Why it has not taken the terminal over. */
  begin(order: Partial<TakeOverOrder> = {}): Promise<string | undefined> {
    const passkey = { name: this.name, fingerprint: '1a2b 3c4d 5e6f 7081' };
    const whole = { ...this.order, ...order };
    const signature = { order: whole as unknown as ApproveOrder, passkey } as unknown as Signature;
    return this.stage.takeOvers.begin(whole, signature, () => this.stage.isPinned);
  }

  frame(text: string, more: Partial<TypedFrame> = {}): Promise<SignedFrame> {
    const keys = Buffer.from(text).toString('base64');
    return signFrame({ order: this.order.id, n: ++this.#n, at: this.stage.time.now, keys, ...more }, this.privateKey);
  }

  /** What the agent answers to keystrokes: `taken`, or why they are refused. */
  async type(text: string, more: Partial<TypedFrame> = {}): Promise<unknown> {
    return answerTo(this.stage, await this.frame(text, more));
  }
}

function answerTo(stage: Stage, frame: SignedFrame): Promise<unknown> {
  return stage.takeOvers.type(frame).then(
    ({ taken }) => taken,
    (error) => (error as Error).message,
  );
}

describe('a terminal that its owner has taken over', () => {
  const stages: Stage[] = [];
  const open = (script: string, idleMs?: number): Stage => {
    const stage = new Stage(script, idleMs);
    stages.push(stage);
    return stage;
  };
  const taken = async (script: string): Promise<Typist> => {
    const anna = await Typist.of(open(script));
    expect(await anna.begin()).toBeUndefined();
    return anna;
  };
  afterEach(() => {
    for (const stage of stages.splice(0)) stage[Symbol.dispose]();
  });

  test('is typed into, and what it shows is on record, line by line', async () => {
    const anna = await taken('cat; sleep 1000');
    const { stage } = anna;
    for (const key of ['h', 'ü', '\r']) expect(await anna.type(key)).toBe(true);
    await stage.shows('hü\nhü\n');
    expect(await anna.type('next\r')).toBe(true);
    await stage.shows('next\nnext\n');
    expect(stage.typed).toEqual([
      { bytes: 4, text: 'hü\r' },
      { bytes: 5, text: 'next\r' },
    ]);
  });

  test.each([
    ['a password prompt', 'read -s -p "Password: " x; echo; echo "got $(printf %s "$x" | wc -c)"; cat', 'Password: '],
    ['a program that draws itself', 'stty -icanon -echo; echo ready; head -c 7 >/dev/null; echo got 6; cat', 'ready'],
    ['a terminal that takes each key', 'stty -icanon; echo ready; head -c 7 >/dev/null; echo got 6; cat', 'ready'],
  ])('has the length alone on record, at %s', async (_, script, prompt) => {
    const anna = await taken(script);
    const { stage } = anna;
    await stage.shows(prompt);
    for (const key of 'hunter') expect(await anna.type(key)).toBe(true);
    expect(await anna.type('\r')).toBe(true);
    await stage.shows('got 6');
    stage.takeOvers.handBack(stage.session.id, 'Anna');
    expect(stage.typed).toEqual([{ bytes: 7, text: undefined }]);
    expect(JSON.stringify(stage.lines)).not.toContain('hunt');
  });

  test('has the length alone on record where the echo goes off while something is typed', async () => {
    const anna = await taken('read x; stty -echo; echo off; sleep 1000');
    // The next reader of these keys has no echo: the program sets it so as soon as it has the line.
    expect(await anna.type('name\rsecret')).toBe(true);
    await anna.stage.shows('off');
    for (const key of 'more') await anna.type(key);
    anna.stage.takeOvers.handBack(anna.stage.session.id, 'Anna');
    expect(JSON.stringify(anna.stage.typed)).not.toContain('more');
  });

  test('takes nothing that is not the next that the page has signed', async () => {
    const anna = await taken('cat; sleep 1000');
    const { stage } = anna;
    const [first, second, third] = [await anna.frame('a\r'), await anna.frame('b\r'), await anna.frame('c\r')];
    const eve = await Typist.of(stage, 'Eve');
    const order = anna.order.id;
    expect(await answerTo(stage, second)).toBe('Its number is not the next.');
    expect(await answerTo(stage, await eve.frame('evil\r', { order }))).toBe('Its signature does not fit.');
    expect(await answerTo(stage, { ...first, keys: btoa('evil\r') })).toBe('Its signature does not fit.');
    expect(await answerTo(stage, { ...first, size: { rows: 1, cols: 1 } })).toBe('Its signature does not fit.');
    expect(await answerTo(stage, { ...first, at: first.at + 1 })).toBe('Its signature does not fit.');
    expect(await answerTo(stage, await eve.frame('evil\r'))).toBe('This take-over is over.');
    expect(await answerTo(stage, first)).toBe(true);
    // A page whose connection broke sends the last one again: it is answered, and not typed again.
    expect(await answerTo(stage, first)).toBe(true);
    expect(await answerTo(stage, third)).toBe('Its number is not the next.');
    expect(await Promise.all([answerTo(stage, second), answerTo(stage, second)])).toEqual([true, true]);
    expect(await answerTo(stage, first)).toBe('Its number is not the next.');
    expect(await answerTo(stage, third)).toBe(true);
    await eventually('each is echoed and repeated once', () => stage.shown.match(/[abc]\n/g)?.length === 6);
    expect(stage.shown).not.toContain('evil');
  });

  test('takes no keystrokes that were held back, or are from the future', async () => {
    const anna = await taken('cat; sleep 1000');
    const { stage } = anna;
    const held = await anna.frame('yes\r');
    stage.time.now += 25_000;
    expect(await answerTo(stage, held)).toBe('It came too late.');
    expect(await anna.type('yes\r', { n: 1, at: stage.time.now + 40_000 })).toBe('It came too late.');
    expect(await anna.type('no\r', { n: 1 })).toBe(true);
  });

  test('has one person at a time; a second one names the first to take it over', async () => {
    const anna = await taken('cat; sleep 1000');
    const { stage } = anna;
    const ben = await Typist.of(stage, 'Ben');
    expect(await ben.begin()).toBe('Anna (passkey 1a2b 3c4d 5e6f 7081) types in this terminal');
    expect(await ben.begin({ from: ben.order.id })).toStartWith('Anna (passkey');
    expect(await ben.type('b\r')).toBe('This take-over is over.');
    const carl = await Typist.of(stage, 'Carl', anna.order.id);
    expect(await carl.begin()).toBeUndefined();
    expect(stage.session.typist?.by).toStartWith('Carl');
    expect(await anna.type('a\r')).toBe('This take-over is over.');
    expect(await carl.type('c\r')).toBe(true);
  });

  test('is not taken over by an order for another session, with no key, or for what has no open terminal', async () => {
    const stage = open('cat; sleep 1000');
    const anna = await Typist.of(stage);
    expect(await anna.begin({ session: crypto.randomUUID() })).toBe('this session has no open terminal');
    expect(await anna.begin({ key: 'A'.repeat(87) })).toBe('its key is damaged');
    stage.end.fire();
    expect(await anna.begin()).toBe('this session has no open terminal');
    expect(stage.session.typist).toBeUndefined();
  });

  test.each([
    ['the hand back', (stage: Stage) => stage.takeOvers.handBack(stage.session.id, 'Anna'), 'handed back by Anna'],
    ['a freeze', (stage: Stage) => stage.freezeNow(), 'the server was frozen'],
    ['the end of its command', (stage: Stage) => stage.end.fire(), 'its command has ended'],
    ['the end of its passkey', (stage: Stage) => stage.unpin(), 'its passkey was removed'],
  ])('is handed back by %s', async (_, end, why) => {
    const anna = await taken('cat; sleep 1000');
    const { stage } = anna;
    expect(await anna.type('a\r', { size: { rows: 10, cols: 40 } })).toBe(true);
    expect(stage.terminal.size).toEqual({ rows: 10, cols: 40 });
    end(stage);
    expect(await anna.type('b\r')).toStartWith('This take-over is over');
    expect(stage.session.typist).toBeUndefined();
    expect(stage.session.record.owner_note).toContain('Your owner has typed into this terminal');
    expect(stage.terminal.size).toEqual(SIZE);
    expect(stage.lines.find(({ what }) => what === 'handed back')).toMatchObject({ why, bytes: 2 });
    expect(stage.takeOvers.handBack(stage.session.id, 'Anna')).toBe('nobody types in this terminal');
  });

  test('is handed back when nothing is typed for some time', async () => {
    const stage = open('cat; sleep 1000', 20);
    const anna = await Typist.of(stage);
    await anna.begin();
    await eventually('it is handed back', () => stage.session.typist === undefined);
    expect(stage.lines.at(-1)).toMatchObject({ why: 'nothing was typed for some minutes', bytes: 0 });
    expect(stage.session.record.owner_note).toBeUndefined();
  });

  test('says that a program which does not read takes no more', async () => {
    const anna = await taken('stty raw -echo; echo ready; sleep 1000');
    const { stage } = anna;
    await stage.shows('ready');
    const answers: unknown[] = [];
    for (let count = 0; count < 25; count++) answers.push(await anna.type('x'.repeat(4000)));
    expect(answers[0]).toBe(true);
    expect(answers.at(-1)).toBe(false);
  });
});
