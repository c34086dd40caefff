import { createHmac, randomUUID } from 'node:crypto';
import { delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import type { Notices } from '../lib/notices.ts';
import { webhookKey } from '../lib/token.ts';
import { visibleLine, visibleText } from '../lib/visible.ts';
import { type ApprovalRequest, digestOf } from './approval-request.ts';
import type { Announce } from './approvals.ts';

/** A receiver that does not take a message is tried again after these. */
const PAUSES_MS = [1000, 5000, 25_000];
const PATIENCE_MS = 5000;
/** Messages under way at once; more are dropped, and the owner hears of it. */
const MAX_UNDER_WAY = 32;

/** Who is told, and what the messages are signed with. */
export interface NotifyTarget {
  readonly url: string;
  readonly secret: string;
}

/**
 * Sends requests for approval, and what became of them, to `url`: JSON by POST, signed as Standard Webhooks say, with
 * HMAC-SHA256 of `id.timestamp.body` by the key that `secret` stands for. `mask` takes secrets out of what is told of a
 * command.
 */
export function notifier(
  { url, secret }: NotifyTarget,
  host: string,
  mask: (text: string) => string,
  notices: Notices,
): Announce {
  const key = webhookKey(secret) ?? Buffer.from(secret);
  let underWay = 0;
  return (request, verdict) => {
    const { session, token, address, profile, user, cwd, reason, part, input, expires_at } = request;
    const shown = shownOf(request, mask);
    const body = JSON.stringify({
      type: verdict === undefined ? 'approval.asked' : `approval.${verdict.kind}`,
      timestamp: new Date().toISOString(),
      data: {
        host,
        session,
        token: visibleLine(token),
        address: visibleLine(address),
        profile: visibleLine(profile),
        user: visibleLine(user),
        ...shown.texts,
        ...(shown.isAll
          ? {}
          : { not_shown: `a part of this is masked or cut: agent3 approval show ${session} shows all of it` }),
        cwd: visibleLine(cwd),
        input,
        reason: visibleLine(mask(reason)),
        part: visibleLine(mask(part)),
        ...(verdict === undefined
          ? {
              expires_at: new Date(expires_at).toISOString(),
              // Who has not seen all of it is asked on the server.
              approve: `agent3 approval approve ${session}${shown.isAll ? ` --digest ${digestOf(request)}` : ''}`,
            }
          : { why: visibleLine(verdict.why), by: visibleLine(verdict.by) }),
      },
    });
    if (underWay >= MAX_UNDER_WAY) {
      notices.warn({ session }, 'too many notices are under way: this one was dropped');
      return;
    }
    underWay++;
    void send(url, key, body, notices).finally(() => underWay--);
  };
}

const SHOWN_CHARS = 2000;

/**
 * What would run, as far as a notice shows it: without secrets, and without the rest of long texts; what nobody would see
 * is written out.
 */
function shownOf({ cmd, env, stdin }: ApprovalRequest, mask: (text: string) => string) {
  let isAll = true;
  const show = (text: string): string => {
    const short = mask(text).slice(0, SHOWN_CHARS);
    if (short !== text) isAll = false;
    return visibleText(short).toWellFormed();
  };
  const texts = {
    cmd: show(cmd),
    env: Object.entries(env).map(([name, value]) => show(`${name}=${value}`)),
    stdin: show(stdin),
  };
  return { texts, isAll };
}

async function send(url: string, key: Uint8Array, body: string, notices: Notices): Promise<void> {
  const id = `msg_${randomUUID()}`;
  for (const pause of [...PAUSES_MS, undefined]) {
    const fault = await post(url, key, id, body);
    if (fault === undefined) return;
    if (pause === undefined) {
      notices.warn({ fault }, 'AGENT3_NOTIFY_URL did not take a notice');
      return;
    }
    await delay(pause);
  }
}

/** Undefined when the receiver has taken it. */
async function post(url: string, key: Uint8Array, id: string, body: string): Promise<string | undefined> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    await response.body?.cancel();
    return response.ok ? undefined : `it answered ${response.status}`;
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'it did not answer' : describeErrno(error);
  }
}
