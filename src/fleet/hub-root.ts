import { existsSync } from 'node:fs';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { answer, answerPath, prepareAnswers, type RootActions } from '../console/obey.ts';
import {
  type FreezeOrder,
  fingerprintOf,
  fromBase64url,
  type KeysOrder,
  listDigest,
  MAX_ORDER_BYTES,
  type Order,
  type OrderFile,
  type OrderResult,
  type PasskeyList,
  type SignedOrder,
  type ThawOrder,
} from '../console/order.ts';
import { OrderDirectory, type OrdersPlace } from '../console/order-files.ts';
import { describeSender, describeSigner, signedAgeFault } from '../console/order-rules.ts';
import { orderFileSchema } from '../console/order-schema.ts';
import { readPasskeys, type Signature, signatureOf } from '../console/passkeys.ts';
import { delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { open, REQUEST } from './envelope.ts';
import { hubPasskeysPath, NOBODY_PINNED, orderedPath, readHubPasskeys, writeHubPasskeys } from './hub-passkeys.ts';
import { Verifier } from './keys.ts';
import { addresseeFault, hubKeyOf, type Membership, readMembership } from './membership.ts';
import { readRootsFile, writeRootsFile } from './roots-file.ts';

/** What root needs to obey orders of the hub's console on a server. */
export interface HubRootDeps {
  /** `AGENT3_HUB_FILE`. */
  readonly hubFile: string;
  /** The user whose files count like those of root: the user of an agent that is not a service. */
  readonly own: number | undefined;
  readonly actions: Pick<RootActions, 'freeze' | 'lastFreeze' | 'thaw'>;
}

/** The file that the agent leaves for root: the whole message of the hub, in base64. */
export const leftSchema = Type.Object({ envelope: Type.String() });
/** Base64 adds a third; the request around an order adds some hundred bytes. */
export const MOST_LEFT_BYTES = 2 * MAX_ORDER_BYTES;

const orderedSchema = Type.Object({ hub_key: Type.String(), at: Type.Integer() });
/** Limit for the recorded time, so that a hub whose clock was wrong once is obeyed again after a day. */
const MOST_AHEAD_MS = 86_400_000;

type File<T extends Order = Order> = OrderFile & { readonly order: T };

/** An order that the hub has sent to this server. */
interface FromHub {
  readonly file: OrderFile;
  readonly membership: Membership;
}

/**
 * Reads the order in a message of the hub. The agent, and every command with its user, may have forged it, so only the
 * signature of the hub counts, for this server. Returns why a message is not such an order.
 */
function readMessage({ hubFile, own }: HubRootDeps, id: string, message: Uint8Array): FromHub | string {
  try {
    const membership = readMembership(hubFile, own);
    if (membership === undefined) return 'this server has left its hub';
    const { server, op, args } = open(REQUEST, message, new Verifier(hubKeyOf(membership)));
    if (server !== membership.key) return 'it is for another server';
    if (op !== 'order' || !Value.Check(orderFileSchema, args)) return 'it is not an order';
    const file = args as OrderFile;
    return file.order.id === id ? { file, membership } : 'its id is not that of its file';
  } catch (error) {
    return describe(error);
  }
}

/** Obeys an order of the hub. A replayed order has no effect. Returns why an order is refused. */
async function obey(deps: HubRootDeps, { file, membership }: FromHub): Promise<string | undefined> {
  const { order } = file;
  try {
    if (order.kind === 'keys') return await changeKeys(deps, membership, { ...file, order });
    const elsewhere = addresseeFault(order, membership);
    if (elsewhere !== undefined) return elsewhere;
    if (order.kind !== 'freeze' && order.kind !== 'thaw') return 'root of a server does not obey this order of its hub';
    const ordered = new Ordered(deps, membership);
    if (order.at <= ordered.at) return 'an order of the hub of the same time or later was already obeyed: try it again';
    const fault =
      order.kind === 'freeze'
        ? await freeze(deps, { ...file, order }, membership)
        : await thaw(deps, { ...file, order });
    if (fault === undefined) ordered.note(order.at);
    return fault;
  } catch (error) {
    return describe(error);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function freeze({ actions }: HubRootDeps, file: File<FreezeOrder>, { hub }: Membership): Promise<undefined> {
  await actions.freeze(file.order, describeSender(file, `console of ${hub}`));
}

/** Ends a freeze. The clocks of hub and server may differ, so the order must name the current freeze, and its last repeat. */
async function thaw(deps: HubRootDeps, file: File<ThawOrder>): Promise<string | undefined> {
  const { actions } = deps;
  const { order } = file;
  const signature = await signatureHere(deps, file);
  const fault = signedAgeFault(order, Date.now());
  if (fault !== undefined) return fault;
  const last = actions.lastFreeze();
  if (last === undefined || last.until !== undefined) return 'the server is not frozen';
  if (last.since !== order.since) return 'the freeze that it would end is over, and another one has begun';
  if (last.again !== order.again) return 'somebody has frozen the server again since it was signed';
  actions.thaw(signature, describeSigner(signature));
  return undefined;
}

/** Pins the next list of the chain. The number only grows, so a link never counts twice. */
async function changeKeys(
  deps: HubRootDeps,
  { hub_key }: Membership,
  file: File<KeysOrder>,
): Promise<string | undefined> {
  const { order } = file;
  if (order.hub !== hub_key) return 'it is of another hub';
  const pinned = readHubPasskeys(deps.hubFile, deps.own);
  if (pinned === undefined) return NOBODY_PINNED;
  if (order.count !== pinned.count + 1)
    return `it is change number ${order.count} of the passkeys, and this server has number ${pinned.count}`;
  if (order.previous !== (await listDigest(pinned))) return 'it changes another list than the one pinned here';
  const fault = await listFault(order);
  if (fault !== undefined) return fault;
  writeHubPasskeys(deps.hubFile, order, await signatureHere(deps, file));
  return undefined;
}

/** Returns why a list differs from what its signer saw: the fingerprint of each key, and the origin. */
async function listFault({ origin, rp_id, passkeys }: PasskeyList): Promise<string | undefined> {
  const host = URL.canParse(origin) ? new URL(origin).hostname : '';
  if (host !== rp_id && !host.endsWith(`.${rp_id}`)) return `no passkey would count at ${visibleLine(origin)}`;
  for (const { name, public_key, fingerprint } of passkeys)
    if ((await fingerprintOf(fromBase64url(public_key))) !== fingerprint)
      return `${visibleLine(name)}: its fingerprint is that of another key`;
  return undefined;
}

function signatureHere({ hubFile, own }: HubRootDeps, { order, assertion }: File<SignedOrder>): Promise<Signature> {
  return signatureOf(order, assertion, readPasskeys(hubPasskeysPath(hubFile), own), NOBODY_PINNED);
}

/** The time of the newest order of the hub that root obeyed, by the clock of the hub. */
class Ordered {
  readonly at: number;
  readonly #path: string;

  constructor(
    { hubFile, own }: HubRootDeps,
    private readonly membership: Membership,
  ) {
    this.#path = orderedPath(hubFile);
    const before = readRootsFile(this.#path, orderedSchema, own);
    this.at = before?.hub_key === membership.hub_key ? before.at : 0;
  }

  note(at: number): void {
    const noted = { hub_key: this.membership.hub_key, at: Math.min(at, Date.now() + MOST_AHEAD_MS) };
    writeRootsFile(this.#path, JSON.stringify(noted));
  }
}

export interface HubOrdersPlace extends HubRootDeps {
  /** The directory that the agent leaves them in, and the one around it. */
  readonly place: OrdersPlace;
  /** `AGENT3_CONSOLE_ANSWERS`. */
  readonly answers: string;
  /** Called with a line about each order. */
  readonly tell: (line: string) => void;
}

const LOOK_MS = 50;
/** How long other files are left in the directory before they are removed. */
const STRAY_MS = 1000;
/** How long this runs where a file cannot be removed: systemd would start it again at once. */
const STUCK_MS = 20_000;
const MOST_AT_ONCE = 100;

/** Obeys, answers and removes each order of the agent until the directory is empty. Throws `ConsoleFault` for directories that others may write to. */
export async function obeyHubOrders(deps: HubOrdersPlace): Promise<void> {
  prepareAnswers(deps.answers);
  const began = performance.now();
  let pauseMs = LOOK_MS;
  for (let quietSince = began; performance.now() - began < STUCK_MS; await delay(pauseMs)) {
    using directory = OrderDirectory.open(deps.place);
    if (directory === undefined || directory.names.length === 0) return;
    const ids = directory.ids().slice(0, MOST_AT_ONCE);
    for (const id of ids) await obeyFile(deps, directory, id);
    pauseMs = ids.length < MOST_AT_ONCE ? LOOK_MS : 0;
    if (ids.length > 0) quietSince = performance.now();
    // A full directory may hide an order.
    if (directory.isFull || performance.now() - quietSince > STRAY_MS)
      for (const name of directory.strays()) directory.remove(name);
  }
}

async function obeyFile(deps: HubOrdersPlace, directory: OrderDirectory, id: string): Promise<void> {
  const left = directory.load(id, MOST_LEFT_BYTES);
  directory.remove(`${id}.json`);
  if (existsSync(answerPath(deps.answers, id))) return;
  const found = readLeft(deps, id, left);
  // No answer: a command that replaces an order must not end it. The agent leaves the order again.
  if (typeof found === 'string') return deps.tell(visibleLine(`${id}: not an order of the hub: ${found}`));
  const result = resultOf(id, await obey(deps, found));
  deps.tell(visibleLine(`${id}, ${found.file.order.kind} of the hub: ${result.why ?? 'done'}`));
  try {
    answer({ answers: deps.answers }, result);
  } catch (error) {
    deps.tell(`${id} is not answered: ${describeErrno(error)}`);
  }
}

function readLeft(deps: HubRootDeps, id: string, left: ReturnType<OrderDirectory['load']>): FromHub | string {
  if (typeof left === 'string') return left;
  if (!Value.Check(leftSchema, left.value)) return 'its file has no message';
  return readMessage(deps, id, Buffer.from(left.value.envelope, 'base64'));
}

/** Obeys one message of an agent that is not a service. */
export async function obeyOne(deps: HubRootDeps, id: string, message: Uint8Array): Promise<OrderResult> {
  const found = readMessage(deps, id, message);
  return resultOf(id, typeof found === 'string' ? found : await obey(deps, found));
}

function resultOf(id: string, why: string | undefined): OrderResult {
  return why === undefined ? { id, state: 'done' } : { id, state: 'refused', why };
}
