import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HubAccess } from '../access/hub-access.ts';
import type { SessionAway } from '../calls/follow.ts';
import type { OrderResult } from '../console/order.ts';
import type { Links } from '../files/linked.ts';
import type { Hub } from '../fleet/hub.ts';
import type { HubOrders } from '../fleet/hub-orders.ts';
import type { SigningKey } from '../fleet/keys.ts';
import type { Member, MemberDeps } from '../fleet/member.ts';
import type { Membership } from '../fleet/membership.ts';
import type { PinnedHere } from '../fleet/pinned-here.ts';
import { describeErrno } from '../lib/errors.ts';
import type { FleetStatus } from '../lib/service-status.ts';
import type { Operation } from '../operations/operation.ts';
import { processEnvironment, serviceManager } from '../settings/environment.ts';
import type { Deps } from './deps.ts';
import type { HubsView } from './show-to-hub.ts';
import { StartupFault } from './startup-fault.ts';

/** What a server offers to its hub in addition to its operations. */
type HubsPart = Pick<MemberDeps, 'hubAccess' | 'hubKeys' | 'showToHub' | 'obeyHub'>;

/** The fleet side of an agent. Without a fleet in the settings, its code is not loaded. */
export interface Fleet {
  /** Undefined when this is not a hub. */
  readonly hub: Hub | undefined;
  /** The operations of a hub. */
  operations(own: readonly Operation[]): readonly Operation[];
  /** Returns a session of a server of the fleet; undefined for one of this machine. Throws `SessionNotFound`. */
  away(session: string): SessionAway | undefined;
  /** Finds the files of all links of a hub. Undefined when this is not a hub. */
  readonly links: Links | undefined;
  /** Begins to accept calls of a hub, on a server of one, and to call servers, on a hub. */
  start(door: Omit<MemberDeps, keyof HubsPart | keyof Deps> & Pick<MemberDeps, 'operations'>): void;
  /** Number of calls of the hub that wait for their answers. */
  pending(): number;
  /** The state of its connections. */
  status(): FleetStatus;
}

/** Of an agent without a fleet. */
export const NO_FLEET: Fleet = {
  hub: undefined,
  operations: (own) => own,
  away: () => undefined,
  links: undefined,
  start: () => {},
  pending: () => 0,
  status: () => ({}),
};

/** Returns the fleet of the settings. Throws `StartupFault`. */
export async function openFleet(deps: Deps): Promise<Fleet> {
  const { fleetDirectory, hubFile } = deps.config;
  if (fleetDirectory === undefined && hubFile === undefined) return NO_FLEET;
  const hub = fleetDirectory === undefined ? undefined : await openHub(deps, fleetDirectory);
  const membership = hubFile === undefined ? undefined : await openMembership(deps, hubFile);
  return {
    ...NO_FLEET,
    ...(hub && (await hubDoors(deps, hub))),
    start: (door) => {
      hub?.start().catch((error: unknown) => deps.logger.warn({ err: error }, 'the fleet cannot be reached'));
      membership?.start({ ...deps, ...door, ...membership.hubs });
    },
    pending: () => membership?.pending() ?? 0,
    status: () => ({ ...(hub && { servers: hub.status }), ...membership?.status() }),
  };
}

/** What the doors of a hub have more than those of other agents. */
async function hubDoors(deps: Deps, hub: Hub): Promise<Pick<Fleet, 'hub' | 'operations' | 'away' | 'links'>> {
  const [{ fleetOperations }, { sessionAway }, { HubLinks }] = await Promise.all([
    import('../fleet/operations.ts'),
    import('../fleet/follow-away.ts'),
    import('../fleet/hub-links.ts'),
  ]);
  const links = new HubLinks({ ...deps, maxReplyChars: deps.config.maxReplyChars }, hub);
  return {
    hub,
    operations: (own) => fleetOperations(own, { deps, door: hub, runs: hub.runs, links }),
    away: (session) => sessionAway(hub, deps.turns, session),
    links,
  };
}

async function openHub(deps: Deps, directory: string): Promise<Hub> {
  const { Hub } = await import('../fleet/hub.ts');
  const key = await readKey('AGENT3_FLEET_KEY', deps.config.fleetKey);
  const path = join(directory, 'cert.pem');
  const certificate = attempt(`the certificate of the fleet, ${path}, cannot be read`, () =>
    readFileSync(path, 'utf8'),
  );
  const { logger, access, trail, audit } = deps;
  const given = { directory, certificate, key, logger, access, trail, endOfEarlier: audit?.endOfEarlier };
  const hub = attempt('AGENT3_FLEET_DIR', () => new Hub(given));
  if (hub.key !== key.publicKey)
    throw new StartupFault(2, 'AGENT3_FLEET_KEY is not the key of the hub in servers.json');
  deps.shutdown.subscribe(() => hub[Symbol.dispose]());
  return hub;
}

/** This server of a hub, while the file exists: `agent3 leave` removes it, and ends the connection. */
async function openMembership(deps: Deps, path: string) {
  const [{ Member }, { readMembership }, { WatchedFile }, { PinnedHere }, { removeMoved }] = await Promise.all([
    import('../fleet/member.ts'),
    import('../fleet/membership.ts'),
    import('../fleet/roots-file.ts'),
    import('../fleet/pinned-here.ts'),
    import('../fleet/to-root.ts'),
  ]);
  if (deps.config.hubOrdersDirectory !== undefined) void removeMoved(deps.config.hubOrdersDirectory);
  const key = await readKey('AGENT3_HUB_KEY', deps.config.hubKey);
  let member: Member | undefined;
  let works: MemberDeps | undefined;
  const begin = (membership: Membership | undefined): void => {
    member?.[Symbol.dispose]();
    member = undefined;
    if (works === undefined || membership === undefined) return;
    if (membership.key !== key.publicKey) {
      deps.logger.warn(
        { file: path },
        'AGENT3_HUB_KEY is not the key in this file: restart the agent after agent3 join',
      );
      return;
    }
    const { hub, hub_key, key: server } = membership;
    deps.trail.agent('server of a hub', { hub, hub_key, server });
    pinned.note();
    member = new Member(works, membership, key);
    member.start();
  };
  const pinned = new PinnedHere(path, { ...deps, changed: () => member?.sendState() });
  const file = attempt('AGENT3_HUB_FILE', () => new WatchedFile(path, (at) => readMembership(at), begin, deps.logger));
  const hubAccess = new HubAccess(() => file.value?.profile);
  deps.access.hub = hubAccess;
  return {
    hubs: { hubAccess, hubKeys: () => pinned.count, ...hubsConsole(deps, path, pinned) },
    start: (given: MemberDeps): void => {
      works = given;
      begin(file.value);
    },
    pending: () => member?.pending ?? 0,
    status: (): FleetStatus => (file.value && member ? { hub: { name: file.value.hub, ...member.state } } : {}),
  };
}

/** Questions and orders of the hub's console, loaded on first use. */
function hubsConsole(deps: Deps, hubFile: string, pinned: PinnedHere): Pick<HubsPart, 'showToHub' | 'obeyHub'> {
  let view: Promise<HubsView> | undefined;
  let orders: Promise<HubOrders> | undefined;
  return {
    showToHub: async (args, interrupted) => {
      view ??= import('./show-to-hub.ts').then((module) => new module.HubsView(deps));
      return (await view).answer(args, interrupted);
    },
    obeyHub: async (args, membership, message) => {
      orders ??= openOrders(deps, hubFile);
      const result = await (await orders).obey(args, membership, message);
      pinned.look();
      return result;
    },
  };
}

async function openOrders(deps: Deps, hubFile: string): Promise<HubOrders> {
  const [{ HubOrders }, { leaveForRoot, obeyByOwn }] = await Promise.all([
    import('../fleet/hub-orders.ts'),
    import('../fleet/to-root.ts'),
  ]);
  const isService = serviceManager(processEnvironment()).notifySocket !== undefined;
  const { hubOrdersDirectory: directory, consoleAnswers: answers, approvalsDirectory: decisions } = deps.config;
  const env = { AGENT3_HUB_FILE: hubFile, ...(decisions !== undefined && { AGENT3_APPROVALS_DIR: decisions }) };
  const toRoot = async (id: string, message: Uint8Array): Promise<OrderResult> => {
    if (directory !== undefined) return leaveForRoot({ directory, answers }, id, message);
    return isService ? { id, state: 'refused', why: NO_ROOT } : obeyByOwn(deps.ownArgv, env, id, message);
  };
  return new HubOrders({ ...deps, hubFile, isService, toRoot });
}

/** A server that joined its hub before such orders existed. */
const NO_ROOT = 'root of this server does not obey the hub yet. On the server, run: sudo agent3 join --passkeys';

async function readKey(name: string, seed: string | undefined): Promise<SigningKey> {
  const { SigningKey } = await import('../fleet/keys.ts');
  if (seed === undefined) throw new StartupFault(2, `${name} is not set: the fleet needs it`);
  try {
    return SigningKey.ofSeed(seed);
  } catch {
    // Its own message could show a part of the key.
    throw new StartupFault(2, `${name} is not a key of SU and 56 letters`);
  }
}

function attempt<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const why =
      error instanceof Error && 'code' in error
        ? describeErrno(error)
        : String(error instanceof Error ? error.message : error);
    throw new StartupFault(1, `${what}: ${why}`);
  }
}
