import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { GrantKey, keepGrant, makeGrant } from '../../src/access/grant.ts';
import { KeyRing } from '../../src/access/key-ring.ts';
import { writeTokens } from '../../src/access/token-file.ts';
import { Trail } from '../../src/audit/trail.ts';
import { readTry } from '../../src/connect/grant-state.ts';
import { Grants } from '../../src/connect/grants.ts';
import { challengeOf, GrantTokens, TokenFault } from '../../src/connect/tokens.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CLIENT = { clientId: 'the client', address: '203.0.113.9' };
const VERIFIER = 'v'.repeat(43);

type Line = Readonly<Record<string, unknown>>;

let agents = 0;
/** An agent with one grant, whose code waits, and a clock that is set by hand. */
function agentOf(expiresAt: number | null = null, isKept = true) {
  let nowMs = 1_800_000_000_000;
  const place = directory.join(String(agents++));
  const record = `${place}.jsonl`;
  const path = `${place}.tokens.json`;
  const clock = { now: () => nowMs, elapsed: () => nowMs };
  const key = new GrantKey('k'.repeat(40));
  const wanted = { name: 'chat', profile: 'readonly', client: 'other', expiresAt, isKept } as const;
  const { record: grant, code } = makeGrant(key, wanted, nowMs);
  writeTokens(path, [grant]);
  const alarms: string[] = [];
  const isBroken = { record: false };
  const lines: Line[] = [];
  const write = (fields: Line): void => {
    if (isBroken.record) throw new Error('the disk is full');
    lines.push(fields);
    const time = new Date(nowMs).toISOString();
    writeFileSync(record, `${JSON.stringify({ seq: lines.length, time, ...fields })}\n`, { flag: 'a' });
  };
  const sink = { write, writeLater: (fields: () => Line) => write(fields()), synced: async () => {} };
  const start = () => {
    const logger = { info: () => {}, warn: () => {} };
    const keys = new KeyRing(path, clock, logger, key);
    const trail = new Trail(sink, { values: [], isToken: () => false });
    const alarm = (_: unknown, why: string): void => void alarms.push(why);
    const states = `${place}.grants`;
    const grants = new Grants({ keys, key, directory: states, auditFile: record, trail, clock, logger, alarm });
    return { keys, grants, tokens: new GrantTokens(grants) };
  };
  return {
    alarms,
    code,
    grant,
    isBroken,
    key,
    lines,
    path,
    start,
    state: `${place}.grants/${grant.id}.json`,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

type Agent = ReturnType<typeof agentOf>;

/** Uses the code; returns the authorization code. */
function consentTo({ code }: Agent, grants: Grants): string {
  const grant = grants.byCode(code);
  if (grant === undefined) throw new Error('the code is not open');
  return grants.consent(grant, {
    ...CLIENT,
    clientName: 'A client',
    redirectUri: 'https://a.example/cb',
    scope: 'agent3',
    challenge: challengeOf(VERIFIER),
  });
}

function signedIn(agent: Agent) {
  const running = agent.start();
  const code = consentTo(agent, running.grants);
  const first = running.tokens.exchange({ ...CLIENT, code, verifier: VERIFIER, redirectUri: 'https://a.example/cb' });
  return { ...running, code, first };
}

const principalOf = ({ grant: { name, id } }: Agent): string => `${name}#${id}`;

describe('tokens', () => {
  test('are good for an hour, and refreshed for as long as their client comes', () => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    expect([first.expires_in, tokens.principalOf(first.access_token)]).toEqual([3600, principalOf(agent)]);
    agent.pass(HOUR);
    expect(tokens.principalOf(first.access_token)).toBeUndefined();
    expect(tokens.refusalOf(first.access_token)).toMatchObject({ isSpent: true });
    let last = first;
    for (let day = 0; day < 200; day++) {
      agent.pass(DAY);
      last = tokens.refresh(last.refresh_token, CLIENT);
    }
    expect(tokens.principalOf(last.access_token)).toBe(principalOf(agent));
    agent.pass(90 * DAY);
    expect(() => tokens.refresh(last.refresh_token, CLIENT)).toThrow('has ended');
    expect(agent.lines.at(-1)).toMatchObject({ what: 'ended', why: 'its client was not used for 90 days' });
  });

  test('end with their grant', () => {
    const agent = agentOf(1_800_000_000_000 + HOUR / 2);
    const { tokens, first } = signedIn(agent);
    expect(first.expires_in).toBe(1800);
    agent.pass(HOUR / 2);
    expect(tokens.principalOf(first.access_token)).toBeUndefined();
    expect(() => tokens.refresh(first.refresh_token, CLIENT)).toThrow(TokenFault);
  });

  test('of a lost answer are the same ones a day later', () => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    const lost = tokens.refresh(first.refresh_token, CLIENT);
    agent.pass(DAY);
    const found = tokens.refresh(first.refresh_token, CLIENT);
    expect(found.refresh_token).toBe(lost.refresh_token);
    expect(tokens.principalOf(found.access_token)).toBe(principalOf(agent));
  });

  test('from before a used successor still work for a minute, and then end the grant', () => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    const second = tokens.refresh(first.refresh_token, CLIENT);
    tokens.principalOf(second.access_token);
    agent.pass(59_000);
    expect(tokens.refresh(first.refresh_token, CLIENT).refresh_token).toBe(second.refresh_token);
    agent.pass(1000);
    expect(() => tokens.refresh(first.refresh_token, CLIENT)).toThrow(TokenFault);
    expect(tokens.principalOf(second.access_token)).toBeUndefined();
    expect(agent.alarms).toEqual([expect.stringContaining('was used again')]);
  });

  test('are not given to another client, for another redirect or verifier, or late', () => {
    const agent = agentOf();
    const { grants, tokens } = agent.start();
    const shown = { ...CLIENT, code: consentTo(agent, grants), verifier: VERIFIER, redirectUri: undefined };
    for (const wrong of [
      { clientId: 'another' },
      { redirectUri: 'https://a.example/other' },
      { verifier: 'w'.repeat(43) },
      { verifier: '' },
      { code: `ac.${agent.grant.id}.${'A'.repeat(43)}` },
    ])
      expect(() => tokens.exchange({ ...shown, ...wrong })).toThrow(TokenFault);
    agent.pass(60_000);
    expect(() => tokens.exchange(shown)).toThrow('has expired');
    expect(agent.alarms).toEqual([]);
  });

  test('cannot be made without the key', () => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    const [kind = '', id = '', created = '', generation = '', until = '', nonce = '', mac = ''] =
      first.access_token.split('.');
    for (const forged of [
      [kind, id, created, generation, 'zzzzzz', nonce, mac],
      [kind, id, created, '2', until, nonce, mac],
      [kind, 'ffffffff', created, generation, until, nonce, mac],
      ['rt', id, created, generation, until, nonce, mac],
      [kind, id, created, generation, until, nonce, 'A'.repeat(43)],
    ])
      expect(tokens.principalOf(forged.join('.'))).toBeUndefined();
    expect(tokens.principalOf(first.refresh_token)).toBeUndefined();
    expect(() => tokens.refresh(`rt.${id}.${created}.2.${mac}`, CLIENT)).toThrow('is unknown');
    expect(() => tokens.refresh(first.access_token, CLIENT)).toThrow('is unknown');
  });

  test('are not given when that cannot be put on record, and nothing has changed then', () => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    const before = readFileSync(agent.state, 'utf8');
    agent.isBroken.record = true;
    expect(() => tokens.refresh(first.refresh_token, CLIENT)).toThrow('cannot be written');
    expect(readFileSync(agent.state, 'utf8')).toBe(before);
    agent.isBroken.record = false;
    expect(tokens.refresh(first.refresh_token, CLIENT).expires_in).toBe(3600);
  });
});

describe('a one-time code', () => {
  test('opens its grant once, typed in small letters and with dashes, for ten minutes', () => {
    const agent = agentOf();
    const { grants } = agent.start();
    const typed = ` ${agent.code.slice(0, 5)}-${agent.code.slice(5)} `.toLowerCase();
    expect(grants.byCode(typed)?.id).toBe(agent.grant.id);
    agent.pass(599_999);
    consentTo(agent, grants);
    expect(grants.byCode(agent.code)).toBeUndefined();
    const late = agentOf();
    const { grants: others } = late.start();
    late.pass(600_000);
    expect(others.byCode(late.code)).toBeUndefined();
  });

  test('is void after 20 wrong ones, also after a restart', () => {
    const agent = agentOf();
    const { grants } = agent.start();
    for (let tried = 0; tried < 19; tried++) grants.byCode('AAAAAAAAAA');
    expect(grants.byCode(agent.code)?.id).toBe(agent.grant.id);
    grants.byCode('AAAAAAAAAA');
    expect(grants.byCode(agent.code)).toBeUndefined();
    expect(agent.start().grants.byCode(agent.code)).toBeUndefined();
  });

  test('that did not fit is told to the terminal that waits, who tried and for what', () => {
    const agent = agentOf();
    const { grants } = agent.start();
    const seen = () => readTry(dirname(agent.state), agent.key, agent.grant);
    expect(seen()).toBeUndefined();
    grants.byCode('AAAAAAAAAA', '203.0.113.9');
    expect(seen()).toEqual({ count: 1, most: 20, address: '203.0.113.9', kinds: [] });
    grants.countWrongCode(agent.grant, { address: '203.0.113.9', kinds: ['chatgpt'] });
    expect(seen()).toMatchObject({ count: 2, kinds: ['chatgpt'] });
    for (let pressed = 0; pressed < 30; pressed++) grants.countCancel(agent.grant, '203.0.113.9');
    expect(seen()).toMatchObject({ count: 2, cancels: 20, kinds: [] });
    grants.byCode('AAAAAAAAAA', '203.0.113.9');
    expect(seen()).toEqual({ count: 3, most: 20, address: '203.0.113.9', kinds: [] });
    expect(readTry(dirname(agent.state), new GrantKey('x'.repeat(40)), agent.grant)).toBeUndefined();
    writeTokens(agent.path, []);
    agent.pass(1000);
    grants.openCodes();
    grants.sweep();
    expect(seen()).toBeUndefined();
  });

  test('is on record, and the yes of the owner, and what ends it at the terminal', () => {
    const told = (agent: Agent) => agent.lines.map(({ what, why }) => (why === undefined ? what : `${what}: ${why}`));
    const taken = agentOf(null, false);
    const { grants } = taken.start();
    grants.openCodes();
    writeTokens(taken.path, []);
    grants.openCodes();
    grants.openCodes();
    expect(told(taken)).toEqual(['code made', 'ended: cancelled before its client was kept']);

    const kept = agentOf(null, false);
    const later = kept.start().grants;
    consentTo(kept, later);
    writeTokens(kept.path, [keepGrant(kept.key, kept.grant)]);
    later.openCodes();
    writeTokens(kept.path, []);
    later.openCodes();
    expect(told(kept)).toEqual(['code made', 'consent', 'kept', 'ended: revoked']);

    const late = agentOf(1_800_000_000_000 + HOUR);
    const last = late.start().grants;
    last.openCodes();
    late.pass(HOUR);
    last.openCodes();
    expect(told(late)).toEqual(['code made', 'ended: its lifetime is over']);
    const unanswered = agentOf(null, false);
    const waiting = unanswered.start().grants;
    waiting.openCodes();
    unanswered.pass(HOUR);
    waiting.openCodes();
    expect(told(unanswered)).toEqual(['code made', 'ended: nobody kept its client']);
  });

  test('that the agent has ended is on record once', () => {
    const agent = agentOf();
    const { grants } = agent.start();
    grants.openCodes();
    grants.end(agent.grant, 'signed out', {});
    writeTokens(agent.path, []);
    grants.openCodes();
    grants.sweep();
    expect(agent.lines.map(({ what }) => what)).toEqual(['code made', 'ended']);
  });

  test('is on record once', () => {
    const agent = agentOf();
    const { grants } = agent.start();
    grants.sweep();
    grants.sweep();
    expect(agent.lines.filter(({ what }) => what === 'code made')).toHaveLength(1);
  });
});

describe('at a start', () => {
  test('a grant is kept, also between consent and tokens', () => {
    const agent = agentOf();
    const code = consentTo(agent, agent.start().grants);
    const { tokens } = agent.start();
    const shown = { ...CLIENT, code, verifier: VERIFIER, redirectUri: undefined };
    const first = tokens.exchange(shown);
    const again = agent.start();
    expect(again.tokens.principalOf(first.access_token)).toBe(principalOf(agent));
    expect(again.tokens.refresh(first.refresh_token, CLIENT).expires_in).toBe(3600);
    expect(() => again.tokens.exchange(shown)).toThrow(TokenFault);
    expect(agent.start().tokens.principalOf(first.access_token)).toBeUndefined();
  });

  test.each([
    ['is older than the record says', (_: string, older: string) => older, 'an older state'],
    ['was changed', (now: string) => now.replace('"generation":2', '"generation":1'), 'its state was changed'],
    [
      'is of another grant',
      (now: string) => now.replaceAll(/"id":"[0-9a-f]{8}"/g, '"id":"00000000"'),
      'its state was changed',
    ],
    ['is no JSON', () => '{', 'its state was changed'],
    ['is gone', () => undefined, 'its state was removed'],
  ])('a grant whose state %s ends', (_, change, why) => {
    const agent = agentOf();
    const { tokens, first } = signedIn(agent);
    const older = readFileSync(agent.state, 'utf8');
    const second = tokens.refresh(first.refresh_token, CLIENT);
    const text = change(readFileSync(agent.state, 'utf8'), older);
    if (text === undefined) rmSync(agent.state);
    else writeFileSync(agent.state, text);
    const after = agent.start();
    expect(after.tokens.principalOf(second.access_token)).toBeUndefined();
    expect(after.keys.profileOf(principalOf(agent))).toBeUndefined();
    expect(agent.lines.at(-1)).toMatchObject({ what: 'ended', why: expect.stringContaining(why) });
    // It does not come back, whatever lies there later.
    writeFileSync(agent.state, older);
    expect(agent.start().tokens.principalOf(second.access_token)).toBeUndefined();
  });

  test('a grant whose state cannot be read is not used, and the agent starts', () => {
    const agent = agentOf();
    writeFileSync(dirname(agent.state), 'no directory');
    const { grants, keys } = agent.start();
    expect([grants.byCode(agent.code), keys.grants()]).toEqual([undefined, []]);
    grants.sweep();
  });

  test('a grant works again when the file of tokens can be read again, and its code stays used', () => {
    const agent = agentOf();
    const { first } = signedIn(agent);
    const tokens = readFileSync(agent.path, 'utf8');
    writeFileSync(agent.path, 'damaged');
    const after = agent.start();
    after.grants.sweep();
    expect(after.tokens.principalOf(first.access_token)).toBeUndefined();
    writeFileSync(agent.path, tokens);
    agent.pass(1000);
    expect(after.grants.byCode(agent.code)).toBeUndefined();
    expect(after.tokens.principalOf(first.access_token)).toBe(principalOf(agent));
    expect(after.tokens.refresh(first.refresh_token, CLIENT).expires_in).toBe(3600);
  });

  test('a grant that comes back with another state is over, without an alarm', () => {
    const agent = agentOf();
    const { first } = signedIn(agent);
    const tokens = readFileSync(agent.path, 'utf8');
    writeFileSync(agent.path, 'damaged');
    const after = agent.start();
    writeFileSync(agent.path, tokens);
    writeFileSync(agent.state, '{}');
    agent.pass(1000);
    expect(() => after.tokens.refresh(first.refresh_token, CLIENT)).toThrow('has ended');
    expect(agent.alarms).toEqual([]);
  });

  test('the state of a grant that is gone is removed', () => {
    const agent = agentOf();
    const { grants } = signedIn(agent);
    writeTokens(agent.path, []);
    agent.pass(1000);
    grants.openCodes();
    grants.sweep();
    expect(existsSync(agent.state)).toBe(false);
  });
});

describe('a grant that root has not kept', () => {
  test('has tokens, and allows nothing until it is', () => {
    const agent = agentOf(null, false);
    const { keys, tokens, first } = signedIn(agent);
    expect(tokens.principalOf(first.access_token)).toBe(principalOf(agent));
    expect(keys.isAwaiting(principalOf(agent))).toBe(true);
    writeTokens(agent.path, [keepGrant(agent.key, agent.grant)]);
    expect(keys.isAwaiting(principalOf(agent))).toBe(false);
    agent.pass(DAY);
    const after = agent.start();
    expect(after.keys.profileOf(principalOf(agent))).toBe('readonly');
    expect(after.tokens.refresh(first.refresh_token, CLIENT).expires_in).toBe(3600);
  });

  test('is not kept by a word that is not of its key', () => {
    const agent = agentOf(null, false);
    const { keys } = signedIn(agent);
    for (const forger of [keepGrant(new GrantKey('x'.repeat(40)), agent.grant), agentOf().grant]) {
      writeTokens(agent.path, [{ ...agent.grant, grant: { ...agent.grant.grant, kept: forger.grant.kept ?? '' } }]);
      expect(keys.isAwaiting(principalOf(agent))).toBe(true);
    }
  });

  test('is over two minutes after its code', () => {
    const agent = agentOf(null, false);
    const { keys, tokens, first } = signedIn(agent);
    agent.pass(719_999);
    expect(keys.profileOf(principalOf(agent))).toBe('readonly');
    agent.pass(1);
    expect([keys.profileOf(principalOf(agent)), tokens.principalOf(first.access_token)]).toEqual([
      undefined,
      undefined,
    ]);
    expect(() => tokens.refresh(first.refresh_token, CLIENT)).toThrow('has ended');
  });
});

describe('a grant that root did not seal', () => {
  test.each(['profile', 'expires_at', 'name', 'created_at'] as const)('is not there: its %s was changed', (field) => {
    const agent = agentOf(1_900_000_000_000);
    const changed = { profile: 'full', expires_at: null, name: 'other', created_at: 1 }[field];
    writeTokens(agent.path, [{ ...agent.grant, [field]: changed }]);
    const { grants, keys } = agent.start();
    expect([keys.grants(), grants.byCode(agent.code)]).toEqual([[], undefined]);
  });
});
