/** What a person can be notified of: each is on or off for each device. */
export const PUSH_EVENTS = ['waits', 'ended', 'restarted', 'reuse', 'freeze'] as const;
export type PushEvent = (typeof PUSH_EVENTS)[number];

/** What happened. `test`: somebody has asked for one. */
const PUSH_KINDS = ['waits', 'ended', 'restarted', 'reuse', 'frozen', 'thawed', 'test'] as const;
export type PushKind = (typeof PUSH_KINDS)[number];

/** All that a push says: the page's worker makes text and link of it. */
export interface PushMessage {
  readonly kind: PushKind;
  /** Of the session; empty for what is about none. */
  readonly id: string;
}

const ID = /^[0-9a-f-]{36}$/;

/** Reads a push; undefined for any other text. */
export function readMessage(text: string): PushMessage | undefined {
  try {
    const { kind, id } = JSON.parse(text) as Partial<Record<string, unknown>>;
    const known = PUSH_KINDS.find((one) => one === kind);
    return known && { kind: known, id: typeof id === 'string' && ID.test(id) ? id : '' };
  } catch {
    return undefined;
  }
}

/** The events of the webhook that are pushed as well. */
const KIND_OF: Readonly<Record<string, PushKind>> = {
  'approval.asked': 'waits',
  'command.ended': 'ended',
  'agent.restarted': 'restarted',
  'grant.ended': 'reuse',
  'server.frozen': 'frozen',
  'server.thawed': 'thawed',
};

/** What is pushed of an event of the webhook; undefined: nothing. */
export function messageOf(type: string, { session }: Readonly<Record<string, unknown>>): PushMessage | undefined {
  const kind = Object.hasOwn(KIND_OF, type) ? KIND_OF[type] : undefined;
  return kind && { kind, id: typeof session === 'string' ? session : '' };
}

/** The switch that a push belongs to; undefined: it is always sent. */
export function switchOf(kind: PushKind): PushEvent | undefined {
  if (kind === 'test') return undefined;
  return kind === 'frozen' || kind === 'thawed' ? 'freeze' : kind;
}
