import { existsSync, readFileSync, rmSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { FleetAttacker } from '../../helpers/fleet-attacker.ts';
import { MovedClock } from '../../helpers/moved-clock.ts';
import { TestNats } from '../../helpers/nats.ts';
import { StallingRelay } from '../../helpers/stalling-relay.ts';
import { eventually } from '../../helpers/waiting.ts';
import { limitRow, type Row } from '../bar.ts';

const CALLS = 10_000;
/** The last of them while two machines have the key of web3. */
const TWIN_CALLS = 500;
const WORKERS = 8;
/** A call with a key is repeated so often, with pauses, until it is answered. */
const MOST_REPEATS = 40;
const PAUSE_MS = 200;
/** A call that has no answer by then was lost in silence. */
const CALL_TIMEOUT_MS = 70_000;
const NAMES = ['web1', 'web2', 'web3'] as const;
type Name = (typeof NAMES)[number];
const SETTINGS = { AGENT3_SHELL: '/bin/sh', AGENT3_MAX_REQUESTS_PER_MINUTE: '100000000' };
/** Where the server's own sessions are: no other server's command finds this file. */
const WRITE = `f=$(readlink /proc/$$/fd/1); echo $n >> "\${f%/*/*}.ran"`;

/** What was said of a call. */
type Said = 'done' | 'nothing was run' | 'outcome unknown' | 'the hub is gone' | 'another end' | 'nothing' | string;

interface Outcome {
  readonly target: Name;
  readonly said: Said;
}

/**
 * Calls on three servers while all fails that can. Each writes its number into a file of its server, and the files are
 * counted: how many calls were lost in silence, run twice, or run on another server.
 */
export async function fleetFaults(): Promise<Row[]> {
  await using world = await World.open();
  const outcomes = new Array<Outcome | undefined>(CALLS);
  const settled = (): number => outcomes.filter((one) => one !== undefined).length;
  let issued = 0;
  // The last calls wait for the twin.
  let most = CALLS - TWIN_CALLS;
  const work = async (): Promise<void> => {
    for (let number = issued++; number < CALLS; number = issued++) {
      while (number >= most) await Bun.sleep(20);
      outcomes[number] = await one(world, number);
    }
  };
  const workers = Array.from({ length: WORKERS }, work);
  const faults = await world.failUntil(() => settled() >= CALLS - TWIN_CALLS);
  await world.startTwin();
  most = CALLS;
  await Promise.all(workers);
  // What the last calls have begun ends by itself.
  await Bun.sleep(2000);
  return rowsOf(outcomes, world, faults);
}

/** One call, with a key every second time: then it is repeated until it is answered. */
async function one(world: World, number: number): Promise<Outcome> {
  const target = NAMES[number % NAMES.length] ?? 'web1';
  const isSlow = number % 20 === 0;
  // Two machines with one key do not know each other's keys of calls.
  const isKeyed = number % 2 === 1 && number < CALLS - TWIN_CALLS;
  const cmd = `n=${number}; ${isSlow ? 'sleep 0.3; ' : ''}${WRITE}${isSlow ? '; sleep 0.3' : ''}`;
  const args = { server: target, cmd, ...(isKeyed && { key: `call-${number}` }) };
  let said = await world.call(args);
  const isOpen = (): boolean => ['nothing was run', 'outcome unknown', 'the hub is gone'].includes(said);
  for (let repeats = 0; isKeyed && isOpen() && repeats < MOST_REPEATS; repeats++) {
    await Bun.sleep(PAUSE_MS);
    said = await world.call(args);
  }
  if (said === 'nothing was run') await Bun.sleep(20);
  return { target, said };
}

function rowsOf(outcomes: readonly (Outcome | undefined)[], world: World, faults: number): Row[] {
  const ran = world.ran();
  const found = { lost: 0, doubled: 0, misdirected: 0, untrue: 0, other: 0 };
  const said = new Map<Said, number>();
  outcomes.forEach((outcome, number) => {
    if (outcome === undefined) throw new Error(`call ${number} was not made`);
    said.set(outcome.said, (said.get(outcome.said) ?? 0) + 1);
    const where = ran.get(number) ?? [];
    if (outcome.said === 'nothing' || (outcome.said === 'done' && where.length === 0)) found.lost++;
    if (where.length > 1) found.doubled++;
    if (where.some((name) => name !== outcome.target)) found.misdirected++;
    if (outcome.said === 'nothing was run' && where.length > 0) found.untrue++;
    if (outcome.said.startsWith('status')) found.other++;
  });
  console.error(
    `${faults} faults; ${ran.size} calls were run; said: ${JSON.stringify(Object.fromEntries(said))}; ${world.attacks()}`,
  );
  const unit = 'calls';
  return [
    limitRow(`Fleet: of ${CALLS} calls under ${faults} faults, lost in silence`, found.lost, unit, 0),
    limitRow('the same: run twice', found.doubled, unit, 0),
    limitRow('the same: run on another server', found.misdirected, unit, 0),
    limitRow('the same: run, and said not to have', found.untrue, unit, 0),
    limitRow('the same: refused in another way', found.other, unit, 0),
  ];
}

const linesOf = (path: string): string[] => (existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []);

/** A hub, three servers, a machine with the key of one of them, a network, and who attacks. */
class World implements AsyncDisposable {
  readonly #servers: { readonly name: Name; readonly agent: Agent }[] = [];
  readonly #twin: Agent[] = [];

  private constructor(
    private readonly nats: TestNats,
    private readonly network: StallingRelay,
    private readonly hours: MovedClock,
    private readonly attacker: FleetAttacker,
    private readonly hub: Agent,
  ) {}

  static async open(): Promise<World> {
    const hours = new MovedClock();
    hours.move(3600);
    const nats = await TestNats.start(...NAMES, 'evil');
    const network = await StallingRelay.open(Number(new URL(nats.url).port));
    const attacker = new FleetAttacker(nats, 'web1', ['web2', 'web3']);
    const world = new World(nats, network, hours, attacker, await startAgent({ ...SETTINGS, ...nats.hubSettings }));
    await world.#start('web1', { ...nats.serverSettings('web1'), ...hours.settings });
    await world.#start('web2', nats.serverSettings('web2', 'full', { url: `tls://127.0.0.1:${network.port}` }));
    await world.#start('web3', nats.serverSettings('web3'));
    await world.#allAnswer();
    await attacker.begin();
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.attacker[Symbol.asyncDispose]();
    const agents = [this.hub, ...this.#servers.map(({ agent }) => agent), ...this.#twin];
    for (const agent of agents) {
      await agent.kill9();
      // All commands have ended: looking for the processes of each session would take minutes.
      for (const path of [agent.sessionsDir, `${agent.sessionsDir}.ran`])
        rmSync(path, { recursive: true, force: true });
      await agent[Symbol.asyncDispose]();
    }
    this.network[Symbol.dispose]();
    await this.nats[Symbol.asyncDispose]();
    this.hours[Symbol.dispose]();
  }

  /** Calls `shell`, and returns what is said of it. */
  async call(args: Readonly<Record<string, unknown>>): Promise<Said> {
    try {
      const response = await fetch(`${this.hub.url}/shell`, {
        method: 'POST',
        headers: { 'x-auth-token': this.hub.token },
        body: JSON.stringify(args),
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      const answer = (await response.json()) as Readonly<Record<string, unknown>>;
      if (response.status === 200) return answer['exit_code'] === 0 ? 'done' : 'another end';
      if (answer['error'] === 'Unreachable') return 'nothing was run';
      return answer['error'] === 'Unknown outcome' ? 'outcome unknown' : `status ${response.status}`;
    } catch (error) {
      return error instanceof Error && error.name === 'TimeoutError' ? 'nothing' : 'the hub is gone';
    }
  }

  /** One fault after the other, all kinds in turn; between them all servers answer. Returns how many there were. */
  async failUntil(isOver: () => boolean): Promise<number> {
    let count = 0;
    for (;;)
      for (const fail of this.#faults()) {
        if (isOver()) return count;
        await fail();
        count++;
        await this.#allAnswer();
        await Bun.sleep(300);
      }
  }

  /** A second machine with the key of web3, as the copy of a disk. */
  async startTwin(): Promise<void> {
    this.#twin.push(await startAgent({ ...SETTINGS, ...this.nats.serverSettings('web3') }));
  }

  /** Where each call was run, by its number. */
  ran(): ReadonlyMap<number, readonly Name[]> {
    const ran = new Map<number, Name[]>();
    for (const { name, agent } of [...this.#servers, ...this.#twin.map((agent) => ({ name: 'web3' as const, agent }))])
      for (const line of linesOf(`${agent.sessionsDir}.ran`)) {
        const number = Number(line);
        ran.set(number, [...(ran.get(number) ?? []), name]);
      }
    return ran;
  }

  attacks(): string {
    return JSON.stringify(this.attacker.counts);
  }

  #faults(): (() => void | Promise<void>)[] {
    const { nats, hub, network, hours, attacker } = this;
    const web3 = this.#servers.find(({ name }) => name === 'web3')?.agent;
    return [
      async () => {
        await nats.kill();
        await Bun.sleep(300);
        await nats.run();
      },
      async () => {
        await hub.kill9();
        await hub.restart();
      },
      async () => {
        await web3?.kill9();
        await Bun.sleep(300);
        await web3?.restart();
      },
      // What was under way is lost.
      async () => {
        network.stall();
        await Bun.sleep(500);
        network.cut();
      },
      // What was under way comes too late.
      async () => {
        network.stall();
        await Bun.sleep(3000);
        network.release();
      },
      async () => {
        network.slow(400);
        await Bun.sleep(2000);
        network.slow(0);
      },
      // From two hours ahead to one, and back. Behind the kernel's clock the waits of its threads would end at once.
      () => hours.move(hours.now() > Date.now() + 5_400_000 ? -3600 : 3600),
      () => attacker.flood(),
    ];
  }

  async #start(name: Name, settings: Readonly<Record<string, string>>): Promise<void> {
    this.#servers.push({ name, agent: await startAgent({ ...SETTINGS, ...settings }) });
  }

  async #allAnswer(): Promise<void> {
    for (const server of NAMES)
      await eventually(`${server} answers`, async () => (await this.call({ server, cmd: 'true' })) === 'done');
  }
}
