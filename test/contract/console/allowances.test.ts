import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type ApprovalRequest, digestOf } from '../../../src/access/approval-request.ts';
import { writeFreezes } from '../../../src/access/freeze.ts';
import { type AllowOrder, newOrder, type OrderResult } from '../../../src/console/order.ts';
import { writePasskeys } from '../../../src/console/passkeys.ts';
import type { State } from '../../../src/console/shown.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { linesOf, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms('setpriv').length === 0;
const AGENT_USER = 64_000;
/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
const RULES = ['rm', 'mv'].map((name) => `[[rules]]\naction = "confirm"\ncommand = "${name}"\n`).join('');
const CAREFUL = `extends = "full"\n${RULES}`;
const MINUTE = 60_000;

describe.skipIf(!canTry)('an allowance', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles(undefined, AGENT_USER);
  const AUDIT = place.join('audit/audit.jsonl');
  const PROFILE = place.join('profiles.d/careful.toml');
  let agent: Agent;
  let wire: WireClient;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    for (const name of ['profiles.d', 'approvals', 'audit']) mkdirSync(place.join(name), { mode: 0o755 });
    chownSync(place.join('audit'), AGENT_USER, AGENT_USER);
    writeFileSync(PROFILE, CAREFUL);
    await files.pin();
    const settings = {
      ...files.settings,
      AGENT3_APPROVALS_DIR: place.join('approvals'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_PROFILE: 'careful',
      AGENT3_AUDIT_FILE: AUDIT,
    };
    agent = await startAgent(settings, ['sh', '-c', BECOME, String(AGENT_USER)]);
    wire = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, files.settings.AGENT3_CONSOLE_KEY);
  });
  afterAll(async () => {
    wire?.close();
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const result = (id: string) => wire.request('order', { id, wait_ms: 10_000 }) as Promise<OrderResult>;
  const allowances = async () => ((await wire.request('state', {})) as State).allowances;
  /** Asks for a command that waits; returns its request. */
  const ask = async (args: Readonly<Record<string, unknown>> = {}): Promise<ApprovalRequest> => {
    const { session, status } = await agent.shell({ cmd: 'rm -f /tmp/agent3-none; echo ran', ...args });
    expect(status).toBe('waiting');
    return JSON.parse(readFileSync(`${agent.sessionsDir}/.approvals/${session}.json`, 'utf8'));
  };
  /** The order that the page makes of a request. */
  const orderOf = (request: ApprovalRequest, minutes = 15): AllowOrder => {
    const { session, token, profile, allowable = { rule: 1, rule_sha256: 'a'.repeat(64), cwd: '/' } } = request;
    const { rule, rule_sha256, cwd } = allowable;
    const base = newOrder();
    const scope = { token, made: '', profile, rule, rule_sha256, cwd, until: base.at + minutes * MINUTE };
    return { ...base, kind: 'allow', session, digest: digestOf(request), ...scope };
  };
  const allow = async (order: AllowOrder): Promise<OrderResult> =>
    result(files.leave(order, { assertion: await files.phone.sign(order) }));
  const deny = async ({ session }: ApprovalRequest, request?: ApprovalRequest): Promise<void> => {
    const digest = request === undefined ? 'a'.repeat(64) : digestOf(request);
    await result(files.leave({ kind: 'deny', session, digest, why: '' }));
  };
  const end = (allowance: string) => result(files.leave({ kind: 'end-allowance', allowance }));
  /** Whether a command waits for a person; then nobody lets it run. */
  const waits = async (args: Readonly<Record<string, unknown>>): Promise<boolean> => {
    const { status, session } = await agent.shell(args);
    if (status !== 'waiting') return false;
    await deny({ session: String(session) } as ApprovalRequest);
    return true;
  };

  test('approves a request, and lets run what the same rule asks of the same token; each is on record', async () => {
    const request = await ask();
    expect(request.allowable).toMatchObject({ rule: 1, words: 'confirm command rm' });
    const order = orderOf(request);
    expect(await allow(order)).toEqual({ id: order.id, state: 'done' });
    await eventually(
      'it ran',
      async () => (await agent.read({ session: request.session, wait: 5 })).stdout === 'ran\n',
    );
    expect(await agent.shell({ cmd: "r'm' -f /tmp/agent3-none && echo again" })).toMatchObject({ stdout: 'again\n' });
    expect(await allowances()).toMatchObject([
      { id: order.id, token: 'default', profile: 'careful', rule: 1, until: order.until, uses: 1 },
    ]);
    const line = linesOf(AUDIT).find((one) => one['event'] === 'start' && 'allowance' in one);
    const by = `Pixel 9 (passkey ${(await files.phone.passkey()).fingerprint})`;
    expect(line).toMatchObject({ rule: 1, approved_by: by, allowance: [order.id] });
    // What comes with more than rules read whole, or what another rule asks, waits for a person.
    for (const more of [
      { interactive: true },
      { pty: true },
      { stdin: 'x' },
      { env: { NAME: 'x' } },
      { cwd: '/tmp' },
      { cmd: 'cd /tmp && rm -f x' },
      { cmd: '/tmp/rm -f x' },
      { cmd: 'rm -f x < /etc/shadow' },
      { cmd: 'rm -f x; mv x y' },
      { cmd: 'rm -f $(cat x)' },
      { cmd: 'rm -f \u200bx' },
      { cmd: `rm -f ${'x'.repeat(2000)}` },
    ])
      expect([more, await waits({ cmd: 'rm -f x', ...more })]).toEqual([more, true]);
    expect(await end(order.id)).toMatchObject({ state: 'done' });
    expect(await waits({ cmd: 'rm -f x' })).toBe(true);
    expect(await allowances()).toEqual([]);
    expect(await end(order.id)).toMatchObject({ state: 'refused', why: 'it is over already' });
    const { stdout, code } = await verify(AUDIT);
    expect([stdout, code]).toEqual([expect.stringContaining(`by ${by}`), 0]);
  });

  test('attack: a line of a command that ran by it is found when it is moved to another allowance or token', async () => {
    const forged = place.join('forged.jsonl');
    const lines = textOf(AUDIT);
    for (const [from, to, what] of [
      [/"allowance":\["[^"]+"\]/, `"allowance":["${crypto.randomUUID()}"]`, 'nobody has signed the allowance'],
      [/"token":"default"/, '"token":"other"', 'is of another token'],
      [/"rule":1/, '"rule":7', 'is of another rule'],
      [/"cwd":"[^"]*"/, '"cwd":"/nowhere"', 'is of another directory'],
      [/"time":"\d{4}/, '"time":"2001', 'before the allowance that it names was signed'],
      [/"time":"\d{4}/, '"time":"2999', 'was over'],
    ] as const) {
      const changed = lines.map((line) => (/"event":"start".*"allowance"/.test(line) ? line.replace(from, to) : line));
      writeFileSync(forged, `${changed.join('\n')}\n`);
      expect((await verify(forged)).stdout).toContain(what);
    }
  });

  test('attack: an order that was stretched after it was signed, or asks for too much, allows nothing', async () => {
    const request = await ask();
    const signed = orderOf(request);
    const assertion = await files.phone.sign(signed);
    for (const change of [
      { until: signed.until + MINUTE },
      { rule: 2 },
      { token: 'other' },
      { made: '0123abcd' },
      { profile: 'full' },
      { cwd: '/tmp' },
      { rule_sha256: 'b'.repeat(64) },
    ]) {
      const stretched = { ...signed, ...newOrder(), ...change };
      expect(await result(files.leave(stretched, { assertion }))).toMatchObject({ state: 'refused' });
    }
    for (const [change, why] of [
      [{ until: signed.at + 61 * MINUTE }, 'it allows more than 60 minutes'],
      [{ rule: 2 }, 'the rule that asks is another one, or was changed'],
      [{ made: '0123abcd' }, 'it is about another token'],
      [{ profile: 'full' }, 'the rule that asks is another one, or was changed'],
      [{ cwd: '/tmp' }, 'it is about another directory'],
      [{ digest: 'b'.repeat(64) }, 'the request does not wait any more, or is not what was shown'],
      [{ until: signed.at - 1 }, 'its time has already ended'],
    ] as const)
      expect(await allow({ ...signed, ...newOrder(), ...change })).toMatchObject({ state: 'refused', why });
    expect(await result(files.leave({ ...signed, ...newOrder() }))).toMatchObject({
      why: 'it needs the signature of a passkey',
    });
    await deny(request, request);
    expect(await allow(orderOf(request))).toMatchObject({ state: 'refused' });
    expect(await allowances()).toEqual([]);
  });

  test('attack: an order of a command, as the user of the agent, allows nothing, with a right signature as well', async () => {
    const request = await ask();
    const order = orderOf(request);
    const assertion = await files.phone.sign(order);
    files.write(order, { order, by: 'x', assertion }, AGENT_USER);
    expect(await result(order.id)).toMatchObject({ state: 'refused' });
    await deny(request, request);
    expect(await allowances()).toEqual([]);
  });

  test('is not offered for what a person is asked about for two reasons, nor for a file', async () => {
    for (const cmd of ['rm -f x; mv x y', 'rm -f x; $X', 'rm -f "$X"']) {
      const request = await ask({ cmd });
      expect(request).not.toHaveProperty('allowable');
      expect(await allow(orderOf(request))).toMatchObject({ why: 'this request can only be approved once' });
      await deny(request, request);
    }
  });

  test('ends by a freeze, also a short one, and with the passkey that signed it', async () => {
    const begin = async (): Promise<void> => {
      expect(await allow(orderOf(await ask()))).toMatchObject({ state: 'done' });
      expect(await allowances()).toBeArrayOfSize(1);
    };
    const whys = (): unknown[] => linesOf(AUDIT).flatMap((line) => (line['state'] === 'ended' ? [line['why']] : []));
    await begin();
    const since = Date.now();
    writeFreezes(place.join('approvals'), [{ since, until: since + 1, by: 'root', reason: '' }]);
    expect(await waits({ cmd: 'rm -f x' })).toBe(true);
    await eventually('it has ended', () => whys().at(-1) === 'the server was frozen');
    await begin();
    const pinned = readFileSync(files.passkeysFile);
    const { origin, rpId: rp_id } = files.phone;
    writePasskeys(files.passkeysFile, { origin, rp_id, passkeys: [], sessions: [] });
    expect(await waits({ cmd: 'rm -f x' })).toBe(true);
    writeFileSync(files.passkeysFile, pinned);
    expect(await allowances()).toEqual([]);
    await eventually('it has ended', () => whys().at(-1) === 'the passkey that signed it was removed');
  });

  test('attack: after a change of the rule, a restart, or its end, the same order allows nothing again', async () => {
    const request = await ask();
    const order = orderOf(request);
    const assertion = await files.phone.sign(order);
    await allow(order);
    expect(await waits({ cmd: 'rm -f x' })).toBe(false);
    writeFileSync(PROFILE, `${CAREFUL}[[rules]]\naction = "confirm"\ncommand = "dd"\n`);
    await eventually('the profile has changed', async () => (await allowances()).length === 0);
    writeFileSync(PROFILE, CAREFUL);
    files.leave(order, { assertion });
    await eventually('the profile is back', () => waits({ cmd: 'rm -f x' }));
    await agent.restart();
    expect(await waits({ cmd: 'rm -f x' })).toBe(true);
    files.leave(order, { assertion });
    expect(await result(order.id)).toMatchObject({ why: 'it is from before the start of the agent' });
    expect(await allowances()).toEqual([]);
    expect(linesOf(AUDIT).find((line) => line['what'] === 'allowance' && line['state'] === 'ended')).toMatchObject({
      uses: 1,
    });
  });
});
