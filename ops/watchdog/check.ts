import { readService } from './service.ts';
import type { Target } from './target.ts';

const HEALTH_SECONDS = 5;
/** The command takes a millisecond; a machine under load gets time. */
const COMMAND_SECONDS = 15;

/**
 * What is wrong with the agent, in a few words; undefined when nothing is: its unit is active, `healthz` answers, and a
 * command through the API comes back. An agent that refuses because it is busy, or frozen by its owner, is alive.
 */
export async function findFault(target: Target): Promise<string | undefined> {
  const { state, isActive } = readService(target.unit);
  if (!isActive) return `the unit is ${state}`;
  const health = await askHealth(target.origin);
  if ('fault' in health) return health.fault;
  return health.isFrozen ? undefined : await commandFault(target);
}

/** What an agent says of itself. */
export interface Health {
  readonly version: string;
  /** Its owner has frozen the server. */
  readonly isFrozen: boolean;
}

/** What the agent that answers on `origin` says, or what is wrong there, in a few words. */
export async function askHealth(
  origin: string,
  init: BunFetchRequestInit = {},
  seconds: number = HEALTH_SECONDS,
): Promise<Health | { readonly fault: string; readonly isGone?: boolean }> {
  const answer = await ask(`${origin}/healthz`, init, seconds);
  if ('fault' in answer) return { fault: `healthz ${answer.fault}`, isGone: answer.isGone };
  if (answer.status !== 200) return { fault: `healthz answers ${answer.status}` };
  const { version, frozen } = answer.body;
  return typeof version === 'string'
    ? { version, isFrozen: frozen === true }
    : { fault: 'healthz is not that of Agent3' };
}

/** Statuses of an agent that is alive and has no time: too many commands, too many failed logins from here. */
const BUSY = 429;

async function commandFault(target: Target): Promise<string | undefined> {
  // Where commands have rules, a person might be asked about the check, every five minutes.
  const { body: info } = { body: {} as Record<string, unknown>, ...(await call(target, 'server_info', {})) };
  const { profile } = info as { profile?: { has_rules?: boolean } };
  if (profile?.has_rules === true) return undefined;
  const nonce = crypto.randomUUID();
  const answer = await call(target, 'shell', { cmd: `printf %s ${nonce}`, timeout: COMMAND_SECONDS });
  if ('fault' in answer) return `a command ${answer.fault}`;
  if (answer.status === BUSY) return undefined;
  // It was frozen meanwhile.
  if (answer.body['error'] === 'Frozen') return undefined;
  if (answer.body['error'] === 'Unauthorized') return 'the token of the settings is refused';
  // A profile that takes no commands, or cannot be had, is a matter of its owner: a restart changes nothing of it.
  if (['Forbidden', 'Not available'].includes(String(answer.body['error']))) return undefined;
  const { stdout, status, session } = answer.body;
  // Nothing is left of the check; a session that cannot be closed goes by its age.
  if (typeof session === 'string') await call(target, 'close_session', { session });
  if (answer.status !== 200) return `a command is answered ${answer.status}`;
  if (stdout === nonce || status === 'running') return undefined;
  return `a command did not give what it printed (${String(status).slice(0, 40)})`;
}

type Reply =
  | { readonly fault: string; readonly isGone: boolean }
  | { readonly status: number; readonly body: Record<string, unknown> };

function call({ origin, token }: Target, op: string, args: unknown): Promise<Reply> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify({ op, args }) };
  return ask(`${origin}/`, init, COMMAND_SECONDS);
}

async function ask(url: string, init: BunFetchRequestInit, seconds: number): Promise<Reply> {
  try {
    const response = await fetch(url, {
      ...init,
      signal: AbortSignal.timeout(seconds * 1000),
      // It is asked on loopback, under another name than that of its certificate.
      tls: { ...init.tls, rejectUnauthorized: false },
    });
    const body = parsed(await textOf(response));
    return { status: response.status, body: typeof body === 'object' && body !== null ? { ...body } : {} };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { isGone: !isLate, fault: isLate ? `did not answer within ${seconds} s` : 'was not answered' };
  }
}

/** Longer than any answer of an agent: another program may have its port, and this runs as root. */
const MAX_ANSWER_BYTES = 1_048_576;

/** Cut where it is too long. */
async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, bytes] = ['', 0];
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
