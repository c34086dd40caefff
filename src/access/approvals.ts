import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { visibleLine, visibleText } from '../lib/visible.ts';
import { Growth } from '../sessions/growth.ts';
import {
  type ApprovalRequest,
  digestOf,
  distrust,
  lookAtPublished,
  publish,
  readDecision,
  requestsDirectory,
  takeAway,
} from './approval-request.ts';
import type { SendNotification } from './webhook.ts';

/** How a request ended. */
export interface Verdict {
  /** `tampered`: the published request is not, or is no longer, what was asked. */
  readonly kind: 'approved' | 'denied' | 'tampered' | 'expired' | 'withdrawn' | 'stopped';
  readonly why: string;
  readonly by: string;
  /** Proof of who decided, for the record. */
  readonly proof?: object | undefined;
}

/** A decision from the owner's console. The caller has checked that it is valid. */
export interface ConsoleDecision {
  readonly session: string;
  /** Digest of the request that was shown. */
  readonly digest: string;
  readonly verdict: 'approve' | 'deny';
  readonly why: string;
  readonly by: string;
  readonly proof?: object | undefined;
}

/** Called with a request, and again with its verdict. */
export type Announce = (request: ApprovalRequest, verdict: Verdict | undefined) => void;

export const APPROVAL_SECONDS = 600;

/** Most requests of all tokens that wait at once: each needs memory, and a person reads no more. */
export const MAX_WAITING = 32;
/** Most of one token, so that other tokens can ask too. */
export const MAX_WAITING_PER_TOKEN = 16;

/** Interval of checks for a new file, where the kernel does not report it. */
const LOOK_MS = 1000;

/** Only the agent's user or root can have done that. */
const CHANGED = 'somebody has changed or removed the request on the disk of the server';

interface Waiting {
  readonly request: ApprovalRequest;
  readonly digest: string;
  readonly settle: (verdict: Verdict) => void;
  seen: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

/**
 * The requests that wait for a person. The request is kept in memory, and a copy is published for the owner. The decision
 * comes as a file that only root can write, with the digest of the request.
 */
export class Approvals {
  readonly #waiting = new Map<string, Waiting>();
  readonly #directory: string;
  #watching: (() => void) | undefined;
  #takeDenials: () => void = () => {};
  #listeners: readonly (() => void)[] = [];

  /** `decisions` is the directory of decisions; without it, this agent cannot ask. */
  constructor(
    sessionsDirectory: string,
    private readonly decisions: string | undefined,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.#directory = requestsDirectory(sessionsDirectory);
  }

  /** Describes why nobody can be asked; undefined when somebody can. */
  fault(): string | undefined {
    return this.decisions === undefined ? 'AGENT3_APPROVALS_DIR is not set' : distrust(this.decisions);
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Returns the requests that wait, with their digests. */
  waiting(): { readonly request: ApprovalRequest; readonly digest: string }[] {
    return [...this.#waiting.values()].map(({ request, digest }) => ({ request, digest }));
  }

  /** Calls `listener` when a request begins, and when it is decided or ends; returns a function that unsubscribes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((one) => one !== listener);
    };
  }

  /** Calls `takeDenials` before an approval takes effect, so that a denial at the same time wins. */
  onApproving(takeDenials: () => void): void {
    this.#takeDenials = takeDenials;
  }

  /** Takes a decision. Returns `gone` when no such request waits, `other` when it is not the request that was shown. */
  decide({ session, digest, verdict, why, by, proof }: ConsoleDecision): 'taken' | 'gone' | 'other' {
    // Decisions of root, denials that are there and changes on the disk come first.
    if (verdict === 'approve') {
      this.#look();
      this.#takeDenials();
    }
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return 'gone';
    if (verdict === 'approve' && digest !== waiting.digest) return 'other';
    this.#settle(session, { kind: verdict === 'approve' ? 'approved' : 'denied', why, by, proof });
    return 'taken';
  }

  /** Returns how many of them are of a token. */
  countOf(token: string): number {
    return [...this.#waiting.values()].filter(({ request }) => request.token === token).length;
  }

  /**
   * Publishes a request. Resolves when a person has decided, it has expired, it was changed on the disk, the agent stops,
   * or `signal` withdraws it (its reason is a text). Never rejects. Throws the system's error when the request cannot be
   * published.
   */
  ask(request: ApprovalRequest, signal: AbortSignal): Promise<Verdict> {
    publish(this.#directory, request);
    const { session } = request;
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const why = `nobody decided within ${APPROVAL_SECONDS / 60} minutes`;
    const expire = (): void => this.#settle(session, { kind: 'expired', why, by: '' });
    const timer = setTimeout(expire, Math.max(0, request.expires_at - this.clock.now()));
    this.#waiting.set(session, { request, digest: digestOf(request), settle: resolve, timer, seen: '' });
    const withdraw = (): void => this.#settle(session, { kind: 'withdrawn', why: String(signal.reason), by: '' });
    signal.addEventListener('abort', withdraw, { once: true });
    this.#watching ??= this.#watch();
    for (const listener of this.#listeners) listener();
    return promise;
  }

  /** Withdraws all requests, because the agent stops. */
  stop(): void {
    for (const session of [...this.#waiting.keys()])
      this.#settle(session, { kind: 'stopped', why: 'the agent was stopped meanwhile', by: '' });
  }

  #tampered(session: string, why: string, by: string): void {
    this.logger.warn({ session, by }, `${why}: it is not run`);
    this.#settle(session, { kind: 'tampered', why, by });
  }

  #settle(session: string, verdict: Verdict): void {
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return;
    this.#waiting.delete(session);
    clearTimeout(waiting.timer);
    if (this.#waiting.size === 0) {
      this.#watching?.();
      this.#watching = undefined;
    }
    try {
      takeAway(this.#directory, session);
    } catch (error) {
      this.logger.warn({ session, err: error }, 'an approval request could not be removed');
    }
    waiting.settle(verdict);
    for (const listener of this.#listeners) listener();
  }

  /** Watches for decisions while a request waits. Returns what ends that. */
  #watch(): () => void {
    const growth = new Growth(this.decisions ?? '');
    growth.each(() => this.#look());
    const timer = setInterval(() => this.#look(), LOOK_MS);
    return () => {
      clearInterval(timer);
      growth[Symbol.dispose]();
    };
  }

  #look(): void {
    const { decisions } = this;
    for (const [session, waiting] of [...this.#waiting]) {
      const seen = lookAtPublished(this.#directory, session, waiting.digest, waiting.seen);
      if (seen === undefined) this.#tampered(session, CHANGED, '');
      else waiting.seen = seen;
    }
    if (decisions === undefined || distrust(decisions) !== undefined) return;
    for (const [session, { digest }] of [...this.#waiting]) {
      const decision = readDecision(decisions, session);
      if (decision === undefined) continue;
      const { verdict, why, by } = decision;
      if (decision.digest !== digest) {
        this.#tampered(session, `what was decided on is not what was asked: ${CHANGED}`, by);
        continue;
      }
      if (verdict === 'approve') this.#takeDenials();
      this.#settle(session, { kind: verdict === 'approve' ? 'approved' : 'denied', why, by });
    }
  }
}

/** Sends notifications about approval requests and their verdicts. `mask` masks the secrets of a command. */
export function notifier(notify: SendNotification, host: string, mask: (text: string) => string): Announce {
  return (request, verdict) => {
    const { session, token, address, profile, user, cwd, reason, part, input, expires_at } = request;
    const shown = shownOf(request, mask);
    notify(verdict === undefined ? 'approval.asked' : `approval.${verdict.kind}`, {
      host,
      session,
      token: visibleLine(token),
      address: visibleLine(address),
      profile: visibleLine(profile),
      user: visibleLine(user),
      ...shown.texts,
      ...(shown.isAll
        ? {}
        : { not_shown: `parts are masked or cut. To see all of it: agent3 approval show ${session}` }),
      cwd: visibleLine(cwd),
      input,
      reason: visibleLine(mask(reason)),
      part: visibleLine(mask(part)),
      ...(verdict === undefined
        ? {
            expires_at: new Date(expires_at).toISOString(),
            // Without --digest, the command asks on the server, where all of it is shown.
            approve: `agent3 approval approve ${session}${shown.isAll ? ` --digest ${digestOf(request)}` : ''}`,
          }
        : { why: visibleLine(verdict.why), by: visibleLine(verdict.by) }),
    });
  };
}

const SHOWN_CHARS = 2000;
/** Most characters of a text that are read: only its beginning is shown. */
const MOST_MASKED_CHARS = 16_384;

/**
 * Returns what a notification shows of a command: secrets masked, long texts cut, invisible characters escaped.
 */
function shownOf({ cmd, env, stdin, context, dialog, file }: ApprovalRequest, mask: (text: string) => string) {
  const longest = Math.max(context?.brings.length ?? 0, file?.diff.length ?? 0);
  let isAll = dialog === undefined && longest <= MOST_MASKED_CHARS;
  const show = (text: string): string => {
    const short = mask(text).slice(0, SHOWN_CHARS);
    if (short !== text) isAll = false;
    return visibleText(short).toWellFormed();
  };
  const texts = {
    cmd: show(cmd),
    env: Object.entries(env).map(([name, value]) => show(`${name}=${value}`)),
    stdin: show(stdin),
    ...(context !== undefined && {
      context: context.name,
      context_brings: show(context.brings.slice(0, MOST_MASKED_CHARS)),
    }),
    // Input may be a password.
    ...(dialog !== undefined && {
      dialog: dialog.map(({ expect, send }) => `${show(expect)}: types ${send.length} characters`),
    }),
    ...(file !== undefined && { ...file, path: show(file.path), diff: show(file.diff.slice(0, MOST_MASKED_CHARS)) }),
  };
  return { texts, isAll };
}
