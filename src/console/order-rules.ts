import { visibleLine } from '../lib/visible.ts';
import { AHEAD_MS, type AllowOrder, ORDER_MS, type Order, type OrderFile } from './order.ts';
import type { Signature } from './passkeys.ts';

/** A server that is hardly reached, under a fork bomb for instance, still obeys a freeze: it only narrows. */
const FREEZE_ORDER_MS = 3_600_000;

/** After this, an order is too old whatever its clock said. */
export const FORGOTTEN_MS = ORDER_MS + AHEAD_MS;

export const BEFORE_START = 'it is from before the start of the agent';

/**
 * Why an order is not of now; undefined when it is. `now`, and `startedAt` of the agent that obeys it, are in milliseconds
 * since the epoch.
 */
export function ageFault({ at, kind }: Order, now: number, startedAt = 0): string | undefined {
  if (at > now + AHEAD_MS) return 'it is from the future: compare the clocks of the phone and of the server';
  const most = kind === 'freeze' ? FREEZE_ORDER_MS : ORDER_MS;
  if (at < now - most) return `it is older than ${most / 60_000} minutes`;
  return at < startedAt ? BEFORE_START : undefined;
}

/** A run may last for hours, and clocks of machines differ by some; longer, a hub that was taken over must not keep a signature. */
const MOST_APART_MS = 86_400_000;

/** Of a server of a fleet: why the approval of a plan, or a thaw, is not of now. */
export function signedAgeFault({ at }: Pick<Order, 'at'>, now: number): string | undefined {
  return Math.abs(now - at) > MOST_APART_MS
    ? 'it was signed more than a day ago, or ahead, by the clock of this server'
    : undefined;
}

/** Why an order of the console's directory is not for this server; undefined when it is. */
export function addresseeFault({ server }: Order): string | undefined {
  return server === undefined ? undefined : 'it is for another server';
}

const MOST_NAME_CHARS = 80;

/** Who has ordered something without a signature, as the console says. */
export function describeSender({ by }: Pick<OrderFile, 'by'>, console = 'console'): string {
  return `${visibleLine(by).slice(0, MOST_NAME_CHARS).toWellFormed() || 'somebody'} (${console})`;
}

/** Who has signed an order. */
export function describeSigner({ passkey: { name, fingerprint } }: Signature): string {
  return `${visibleLine(name).slice(0, MOST_NAME_CHARS).toWellFormed()} (passkey ${fingerprint})`;
}

/** As sessions know a token; that of the settings has no id. */
export function principalOf({ token, made }: Pick<AllowOrder, 'token' | 'made'>): string {
  return made === '' ? token : `${token}#${made}`;
}
