import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { distrust } from '../access/approval-request.ts';
import type { FreezeEntry } from '../access/freeze.ts';
import { Deadline, delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { replaceReadable } from '../lib/files.ts';
import { visibleLine } from '../lib/visible.ts';
import { Growth } from '../sessions/growth.ts';
import { ConsoleFault } from './fault.ts';
import {
  type FreezeOrder,
  isForRoot,
  isSigned,
  type KeysOrder,
  type OrderFile,
  type OrderResult,
  type RevokeOrder,
  type RootOrder,
  type TokenOrder,
} from './order.ts';
import { OrderDirectory, type OrdersPlace } from './order-files.ts';
import { addresseeFault, ageFault, describeSender, describeSigner } from './order-rules.ts';
import { type PassedLine, PassedOn, type PassedResult, type PassOn, passedLine } from './passed-on.ts';
import { readPasskeys, type Signature, signatureOf } from './passkeys.ts';

export type KeysFile = OrderFile & { readonly order: KeysOrder };

/** What root does for the console. Each throws with the reason where it cannot. */
export interface RootActions {
  freeze(order: FreezeOrder, by: string): Promise<void>;
  /** The last freeze, also one that is over. */
  lastFreeze(): Pick<FreezeEntry, 'since' | 'again' | 'until'> | undefined;
  thaw(signature: Signature, by: string): void;
  revoke(order: RevokeOrder): void;
  changeTokens(order: TokenOrder, signature: Signature): void | Promise<void>;
  /** Has the servers of the fleet know a change of the passkeys; undefined: this is not a hub. */
  readonly changeKeys?: ((file: KeysFile) => Promise<void>) | undefined;
}

export interface ObeyDeps {
  readonly place: Omit<OrdersPlace, 'name'>;
  /** `AGENT3_CONSOLE_ANSWERS`. */
  readonly answers: string;
  readonly passkeysFile: string;
  readonly actions: RootActions;
  /** When the agent was started that has its own orders obeyed: older ones are refused. Undefined: root of a service. */
  readonly startedAt: number | undefined;
  /** Passes an order on to a server of the fleet; undefined: this is not a hub. */
  readonly passOn?: PassOn | undefined;
  /** Notes for the agent's record what was passed on. */
  readonly notePassed?: ((line: PassedLine) => void | Promise<void>) | undefined;
  /** Told of each order in a line. */
  readonly tell: (line: string) => void;
  /** How long it stays for what cannot be removed. */
  readonly stuckMs?: number;
  /** Whether somebody uses the console: then it waits for the next order, which needs no start of a process. */
  readonly isAwaited?: () => boolean;
}

/** How long a file may be incomplete or not an order before it is removed. */
const STRAY_MS = 2000;
const LOOK_MS = 50;
/** Orders of one look; the others come with the next one. */
const MOST_AT_ONCE = 100;
const MOST_ANSWERS = 48;
/** Of a hub: all of its servers can be frozen at once. */
const MOST_ANSWERS_OF_HUB = 1200;

/** How long it stays, and obeys, when a file cannot be removed: else systemd starts it again at once. */
const STUCK_MS = 45_000;

/** Interval of looks for the end of the console's use, and for orders that the kernel does not report. */
const AWAIT_SECONDS = 1;

/**
 * Obeys, answers and removes the console's orders for root until none is left and none is expected. Throws
 * `ConsoleFault` for directories that others may write to.
 */
export async function obeyOrders(deps: ObeyDeps): Promise<void> {
  prepareAnswers(deps.answers);
  const passedOn = new PassedOn({
    ...deps,
    answer: (file, result) => say(deps, file.order.id, file, result),
    note: (file, result) => note(deps, file, result),
  });
  do await obeyUntilNone(deps, passedOn);
  while (await nextOrder(deps));
}

/** Waits for the next order while one is expected. Returns whether there is one. */
async function nextOrder({ place, isAwaited = () => false }: ObeyDeps): Promise<boolean> {
  using growth = new Growth(join(place.console, 'root-orders'));
  for (;;) {
    const change = growth.next();
    if (!isAwaited()) return false;
    if (isAnyThere(place)) return true;
    await Deadline.after(AWAIT_SECONDS).waitFor(change);
  }
}

function isAnyThere(place: ObeyDeps['place']): boolean {
  using directory = OrderDirectory.open({ ...place, name: 'root-orders' });
  return directory !== undefined && directory.names.length > 0;
}

async function obeyUntilNone(deps: ObeyDeps, passedOn: PassedOn): Promise<void> {
  const began = performance.now();
  let stuck = 0;
  for (let quietSince = began; ; await delay(LOOK_MS)) {
    using directory = OrderDirectory.open({ ...deps.place, name: 'root-orders' });
    if (directory === undefined || directory.names.length === 0) return;
    if (await obeyAll(deps, directory, passedOn)) quietSince = performance.now();
    if (performance.now() - quietSince < STRAY_MS) continue;
    quietSince = performance.now();
    const left = directory.strays().filter((name) => !directory.remove(name)).length;
    if (left > stuck) deps.tell(`root-orders has entries that are not orders and cannot be removed: ${left}`);
    stuck = left;
    if (performance.now() - began > (deps.stuckMs ?? STUCK_MS)) return;
  }
}

/** Whether something was new. What is for servers of the fleet goes out when all of this one is done. */
async function obeyAll(deps: ObeyDeps, directory: OrderDirectory, passedOn: PassedOn): Promise<boolean> {
  const ids = directory
    .ids()
    .filter((id) => !passedOn.has(id))
    .slice(0, MOST_AT_ONCE);
  const files = ids
    .filter((id) => !passedOn.isOver(id) && !existsSync(answerPath(deps.answers, id)))
    .map((id) => [id, directory.read(id)] as const);
  const isAway = (file: OrderFile | string): file is OrderFile =>
    typeof file !== 'string' && file.order.server !== undefined && isForRoot(file.order);
  const here = files.filter(([, file]) => !isAway(file));
  const isFrozenNow = here.some(([, file]) => typeof file !== 'string' && file.order.kind === 'freeze');
  const rank = (file: OrderFile | string): number => (typeof file === 'string' || file.order.kind !== 'freeze' ? 1 : 0);
  for (const [id, file] of here.sort(([, a], [, b]) => rank(a) - rank(b))) {
    const why = typeof file === 'string' ? file : await obey(deps, file, isFrozenNow);
    say(deps, id, file, why === undefined ? { state: 'done' } : { state: 'refused', why });
  }
  passedOn.send(files.map(([, file]) => file).filter(isAway));
  const over = ids.filter((id) => !passedOn.has(id));
  for (const id of over) directory.remove(`${id}.json`);
  passedOn.forget(over);
  return files.length > 0;
}

/** Says what became of an order: in a line, and to the console. */
function say(deps: ObeyDeps, id: string, file: OrderFile | string, { state, why }: PassedResult): void {
  deps.tell(visibleLine(`${describe(id, file)}: ${state}${why === undefined ? '' : `: ${why}`}`));
  try {
    answer(deps, { id, state, ...(why !== undefined && { why }) });
  } catch (error) {
    // A full /run must not keep it from the next order.
    deps.tell(`${id} is not answered: ${describeErrno(error)}`);
  }
}

/** Notes for the record what became of an order that was passed on. */
async function note(deps: ObeyDeps, file: OrderFile, result: PassedResult): Promise<void> {
  try {
    await deps.notePassed?.(passedLine(file, result, await signatureHere(deps, file)));
  } catch (error) {
    deps.tell(`${file.order.id} is not noted for the record: ${describeErrno(error)}`);
  }
}

/** The signature of an order by a passkey that counts at this server; undefined: it has none, and servers judge it. */
async function signatureHere({ passkeysFile }: ObeyDeps, { order, assertion }: OrderFile) {
  if (!isSigned(order)) return undefined;
  try {
    return await signatureOf(order, assertion, readPasskeys(passkeysFile));
  } catch {
    return undefined;
  }
}

function describe(id: string, file: OrderFile | string): string {
  if (typeof file === 'string') return id;
  const { order } = file;
  const token = 'token' in order ? ` ${order.token}` : '';
  const server = order.server === undefined ? '' : ` for ${order.server}`;
  return `${id}, ${order.kind}${token}${server}, ${describeSender(file)}`;
}

/** Returns the reason when an order is not obeyed. */
async function obey(deps: ObeyDeps, file: OrderFile, isFrozenNow: boolean): Promise<string | undefined> {
  const { order } = file;
  if (!isForRoot(order)) return 'it is for the agent, but is among the orders for root';
  try {
    const fault = addresseeFault(order) ?? ageFault(order, Date.now(), deps.startedAt);
    return fault ?? (await carryOut(deps, { ...file, order }, isFrozenNow));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function carryOut(
  { actions, passkeysFile }: ObeyDeps,
  file: OrderFile & { readonly order: RootOrder },
  isFrozenNow: boolean,
): Promise<string | undefined> {
  const { order, assertion } = file;
  switch (order.kind) {
    case 'freeze':
      if ((actions.lastFreeze()?.until ?? 0) > order.at) return 'the server was thawed since';
      await actions.freeze(order, describeSender(file));
      return undefined;
    case 'revoke':
      actions.revoke(order);
      return undefined;
    case 'create-token':
    case 'change-token':
    case 'connect-code':
    case 'keep-client':
      await actions.changeTokens(order, await signatureOf(order, assertion, readPasskeys(passkeysFile)));
      return undefined;
    case 'keys':
      if (actions.changeKeys === undefined) return 'this server is not a hub: no other server takes its passkeys';
      await actions.changeKeys({ ...file, order });
      return undefined;
    case 'thaw': {
      const signature = await signatureOf(order, assertion, readPasskeys(passkeysFile));
      if (isFrozenNow) return 'somebody has frozen the server at the same time';
      const freeze = actions.lastFreeze();
      if (freeze === undefined || freeze.until !== undefined) return 'the server is not frozen';
      if ((freeze.again ?? 0) > order.at) return 'somebody has frozen the server again since it was signed';
      if (freeze.since !== order.since) return 'the freeze that it would end is over, and another one has begun';
      actions.thaw(signature, describeSigner(signature));
      return undefined;
    }
  }
}

export function prepareAnswers(answers: string): void {
  mkdirSync(answers, { recursive: true, mode: 0o755 });
  const fault = process.geteuid?.() === 0 ? distrust(answers) : undefined;
  if (fault !== undefined) throw new ConsoleFault(fault);
}

export function answerPath(answers: string, id: string): string {
  return join(answers, `order-${id}.json`);
}

/** Leaves an answer where everybody may read it; the oldest ones go. */
export function answer({ answers, passOn }: Pick<ObeyDeps, 'answers' | 'passOn'>, result: OrderResult): void {
  replaceReadable(answerPath(answers, result.id), JSON.stringify(result));
  const most = passOn === undefined ? MOST_ANSWERS : MOST_ANSWERS_OF_HUB;
  const all = readdirSync(answers).filter((name) => name.startsWith('order-'));
  if (all.length <= most) return;
  const age = (name: string): number => statSync(join(answers, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const oldest = all.map((name) => [name, age(name)] as const).sort(([, a], [, b]) => a - b);
  for (const [name] of oldest.slice(0, all.length - most)) rmSync(join(answers, name), { force: true });
}
