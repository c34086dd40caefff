import type { KeptDecision, SessionRecord } from './record.ts';

/**
 * How much of its command a session keeps, in UTF-16 units: a list shows 200. The audit record has the whole command.
 */
const KEPT_COMMAND_CHARS = 1000;

/** How much it keeps of the reason of a decision, and of the part of the command in question. */
const KEPT_REASON_CHARS = 2000;

/** Returns what a session keeps of a command; `cmd_sha256` if that is not all of it. */
export function keptCommand(cmd: string): Pick<SessionRecord, 'cmd' | 'cmd_sha256'> {
  if (cmd.length <= KEPT_COMMAND_CHARS) return { cmd };
  return { cmd: keptText(cmd, KEPT_COMMAND_CHARS), cmd_sha256: Bun.SHA256.hash(cmd, 'hex') };
}

/** Whether a session that is not closed ran this command. */
export function isOfCommand({ cmd, cmd_sha256 }: SessionRecord, other: string): boolean {
  return cmd_sha256 === undefined ? cmd === other : cmd_sha256 === Bun.SHA256.hash(other, 'hex');
}

/** Returns a decision as a session keeps it. */
export function keptDecision({ reason, part, ...more }: KeptDecision): KeptDecision {
  return {
    ...more,
    reason: keptText(reason, KEPT_REASON_CHARS),
    ...(part !== undefined && { part: keptText(part, KEPT_REASON_CHARS) }),
  };
}

/**
 * Returns the first `chars` UTF-16 units of `text`, in whole characters. A copy: a slice would keep all of `text` in
 * memory.
 */
export function keptText(text: string, chars = KEPT_REASON_CHARS): string {
  const head = text.length <= chars ? text : text.slice(0, chars).replace(/[\uD800-\uDBFF]$/, '');
  return Buffer.from(head).toString();
}
