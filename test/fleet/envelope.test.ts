import { describe, expect, test } from 'bun:test';
import { createUser, fromSeed } from '@nats-io/nkeys';
import { answerOf } from '../../src/fleet/answers.ts';
import type { FleetServer } from '../../src/fleet/door.ts';
import {
  bytesIn,
  EnvelopeFault,
  type FleetReply,
  type FleetRequest,
  open,
  REPLY,
  REQUEST,
  seal,
} from '../../src/fleet/envelope.ts';
import { fleetId, parseFleetId, withTags } from '../../src/fleet/ids.ts';
import { fingerprintOf, parsePublicKey, SigningKey, tagOf, Verifier } from '../../src/fleet/keys.ts';
import { RequestWindow } from '../../src/fleet/window.ts';
import { OutcomeUnknown } from '../../src/lib/errors.ts';

const hub = SigningKey.create();
const web1 = SigningKey.create();
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const INSTANCE = '01890a5d-ac96-774b-bcce-b302099a8058';

const request = (changes: Partial<FleetRequest> = {}): FleetRequest => ({
  server: web1.publicKey,
  instance: INSTANCE,
  id: ID,
  not_after: 2000,
  op: 'shell',
  args: { cmd: 'uptime' },
  name: 'web1',
  principal: 'reports#1a2b3c4d',
  request: ID,
  reach: 'profile',
  address: '192.0.2.1',
  lean: true,
  reply_ms: 40_000,
  max_chars: 100_000,
  ...changes,
});

describe('keys', () => {
  test('are those of the package of NATS, both ways', () => {
    const theirs = createUser();
    const ours = SigningKey.ofSeed(new TextDecoder().decode(theirs.getSeed()));
    expect(ours.publicKey as string).toBe(theirs.getPublicKey());
    expect(ours.seed).toBe(new TextDecoder().decode(theirs.getSeed()));
    const data = new TextEncoder().encode('some text');
    expect(theirs.verify(data, ours.sign(data))).toBe(true);
    expect(new Verifier(ours.publicKey).isSigned(data, theirs.sign(data))).toBe(true);
    expect(fromSeed(new TextEncoder().encode(web1.seed)).getPublicKey()).toBe(web1.publicKey);
  });

  test('with one wrong character are none', () => {
    for (let at = 0; at < 56; at++) {
      const other = web1.publicKey[at] === 'A' ? 'B' : 'A';
      expect(parsePublicKey(web1.publicKey.slice(0, at) + other + web1.publicKey.slice(at + 1))).toBeUndefined();
    }
    expect(parsePublicKey(web1.publicKey)).toBe(web1.publicKey);
    for (const no of [undefined, 7, '', web1.seed, `${web1.publicKey}A`, web1.publicKey.toLowerCase()])
      expect(parsePublicKey(no)).toBeUndefined();
    expect(() => SigningKey.ofSeed(web1.publicKey)).toThrow('not a seed');
  });

  test('have 8 letters and a fingerprint', () => {
    expect(tagOf(web1.publicKey)).toMatch(/^[a-z2-7]{8}$/);
    expect(fingerprintOf(web1.publicKey)).toMatch(/^([A-Z2-7]{4} ){5}[A-Z2-7]{4}$/);
  });
});

describe('an envelope', () => {
  const sealed = seal(REQUEST, request(), hub);
  const byHub = new Verifier(hub.publicKey);

  test('comes out as it went in', () => {
    expect(open(REQUEST, sealed, byHub)).toEqual(request());
  });

  test('brings bytes as they are, which are signed as well', () => {
    const bytes = Uint8Array.from({ length: 600 }, (_, at) => at % 256);
    const whole = seal(REQUEST, request({ args: { text: 'a\0b' } }), hub, bytes);
    expect(open(REQUEST, whole, byHub)).toEqual(request({ args: { text: 'a\0b' } }));
    expect(Buffer.from(bytesIn(whole)).equals(bytes)).toBe(true);
    expect(bytesIn(sealed)).toHaveLength(0);
    for (const at of [whole.length - 1, whole.length - 600, whole.length - 601]) {
      const turned = Buffer.from(whole);
      turned.writeUInt8((turned[at] ?? 0) ^ 1, at);
      expect(() => open(REQUEST, turned, byHub)).toThrow(EnvelopeFault);
    }
    expect(() => open(REQUEST, whole.subarray(0, -1), byHub)).toThrow(EnvelopeFault);
    expect(() => open(REQUEST, Buffer.concat([sealed, Buffer.alloc(1), bytes]), byHub)).toThrow(EnvelopeFault);
  });

  test('with any bit turned, of another signer, cut, or of another kind is refused', () => {
    for (let at = 0; at < sealed.length; at += 7) {
      const turned = Buffer.from(sealed);
      turned[at] = (turned[at] ?? 0) ^ 1;
      expect(() => open(REQUEST, turned, byHub)).toThrow(EnvelopeFault);
    }
    expect(() => open(REQUEST, seal(REQUEST, request(), web1), byHub)).toThrow('signature');
    for (const length of [0, 10, 64, sealed.length - 1])
      expect(() => open(REQUEST, sealed.subarray(0, length), byHub)).toThrow(EnvelopeFault);
    expect(() => open(REPLY, sealed, byHub)).toThrow('signature');
  });

  test('that is signed and has not the form is refused', () => {
    const wrong: readonly Partial<Record<keyof FleetRequest, unknown>>[] = [
      { principal: 'hub/../root' },
      { principal: 'a#b' },
      { server: 'web1' },
      { op: 'Shell' },
      { reach: 'full' },
      { not_after: '5' },
    ];
    for (const changes of wrong)
      expect(() => open(REQUEST, seal(REQUEST, { ...request(), ...changes } as FleetRequest, hub), byHub)).toThrow(
        'form',
      );
  });
});

describe('a request', () => {
  const at = (now: number) => new RequestWindow(web1.publicKey, INSTANCE, () => now);

  test('runs once', () => {
    const window = at(1000);
    expect([window.admit(request()), window.admit(request())]).toEqual(['new', 'repeated']);
  });

  test('of another server, another process, too late or dated far ahead does not run', () => {
    expect(at(0).admit(request({ server: hub.publicKey }))).toBe('foreign');
    expect(at(0).admit(request({ instance: ID }))).toBe('stale');
    expect(at(2001).admit(request())).toBe('stale');
    expect(at(0).admit(request({ not_after: 3_600_000 }))).toBe('stale');
  });

  test('that was seen is stale, never new, once it is forgotten', () => {
    let now = 0;
    const window = new RequestWindow(web1.publicKey, INSTANCE, () => now);
    const sent = request();
    expect(window.admit(sent)).toBe('new');
    for (now = 0; now < 5000; now += 100) {
      expect(window.admit(sent)).toBe(now <= 2000 ? 'repeated' : 'stale');
      expect(window.admit(request({ id: Bun.randomUUIDv7(), not_after: now + 2000 }))).toBe('new');
    }
  });

  test('of a hub that floods is stale, and the memory bounded', () => {
    const window = at(0);
    const flood = Array.from({ length: 50_001 }, (_, n) => window.admit(request({ id: `${n}` })));
    expect(flood.filter((one) => one === 'new')).toHaveLength(50_000);
    expect(flood.at(-1)).toBe('stale');
  });
});

describe('an id of the fleet', () => {
  test('is read as it was made, in any case of its letters', () => {
    expect(parseFleetId(fleetId(ID, 'abcdefg2'))).toEqual({ id: ID, tag: 'abcdefg2' });
    expect(parseFleetId(fleetId(ID, 'abcdefg2').toUpperCase())).toEqual({ id: ID.toUpperCase(), tag: 'abcdefg2' });
    expect(parseFleetId(ID)).toEqual({ id: ID, tag: undefined });
    for (const odd of ['', '@', '@abcdefg2', `${ID}@`, `${ID}@abc`, `${ID}@abcdefg1`])
      expect(parseFleetId(odd)).toEqual({ id: odd, tag: undefined });
  });

  test('stands in an answer wherever a session is named, and never in its output', () => {
    const other = '01890a5d-ac96-774b-bcce-b302099a8059';
    const answer = {
      stdout: `${ID}\n`,
      session: ID,
      message: `It runs. Follow it with read_session ${ID}; ${other} is no session.`,
      sessions: [{ session: other, cmd: `echo ${ID}` }],
    };
    expect(withTags(answer, 'abcdefg2')).toEqual({
      stdout: `${ID}\n`,
      session: `${ID}@abcdefg2`,
      message: `It runs. Follow it with read_session ${ID}@abcdefg2; ${other}@abcdefg2 is no session.`,
      sessions: [{ session: `${other}@abcdefg2`, cmd: `echo ${ID}` }],
    });
  });

  test('is of the server that answers, also in capitals, with the tag of another, or inside of what is data', () => {
    const CAPITALS = ID.toUpperCase();
    expect(withTags({ session: CAPITALS, message: `${ID}, ${CAPITALS}` }, 'abcdefg2')).toEqual({
      session: `${CAPITALS}@abcdefg2`,
      message: `${ID}@abcdefg2, ${CAPITALS}@abcdefg2`,
    });
    expect(withTags({ message: `Next: ${ID}@zzzzzzzz, ${CAPITALS}@ZZZZZZZZ@abcdefg2.` }, 'abcdefg2')).toEqual({
      message: `Next: ${ID}@abcdefg2, ${CAPITALS}@abcdefg2.`,
    });
    expect(withTags({ cmd: { session: ID } }, 'abcdefg2')).toEqual({ cmd: { session: `${ID}@abcdefg2` } });
  });

  test('that is malformed or of another server is not taken, nor an answer that is nested without end', () => {
    for (const session of [`${ID}@zzzzzzzz`, `${ID} `, 'work', 7, { session: ID }])
      expect(withTags({ sessions: [{ session }] }, 'abcdefg2')).toBeUndefined();
    expect(withTags({ session: null }, 'abcdefg2')).toEqual({ session: null });
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(withTags({ deep }, 'abcdefg2')).toBeUndefined();
  });
});

describe('an answer of a server', () => {
  const server: FleetServer = {
    ...{ name: 'web1', key: web1.publicKey, tag: 'abcdefg2', labels: {} },
    ...{ state: 'connected', lastSeenAt: undefined, shown: undefined },
  };
  const reply = (body: unknown): FleetReply => ({
    ...{ server: web1.publicKey, instance: INSTANCE, id: ID, clock: 0, kind: 'answer' },
    ...{ status: 200, headers: {}, body },
  });

  test('begins with the name of the server, whatever it names its fields', () => {
    const answer = answerOf(server, reply({ 0: 'first', server: 'db1', 7: {}, stdout: '' }), 1000);
    expect(JSON.stringify(answer)).toBe('{"server":"web1","stdout":""}');
  });

  test('whose form is not known has an outcome that is not known', () => {
    expect(() => answerOf(server, reply({ session: `${ID}@zzzzzzzz` }), 1000)).toThrow(OutcomeUnknown);
    expect(() => answerOf(server, reply([]), 1000)).toThrow(OutcomeUnknown);
  });
});
