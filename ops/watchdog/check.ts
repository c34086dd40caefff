import { readService } from './service.ts';
import type { Target } from './target.ts';

const HEALTH_SECONDS = 5;
/** The command takes a millisecond; more time is for a machine under load. */
const COMMAND_SECONDS = 15;

/**
 * Describes what is wrong with the agent; undefined when its unit is active, `healthz` answers, and a command through the
 * API succeeds. An agent that refuses because it is busy or frozen is alive.
 */
export async function findFault(target: Target): Promise<string | undefined> {
  const { state, isActive } = readService(target.unit);
  if (!isActive) return `the unit is ${state}`;
  const health = await askHealth(target.origin);
  if ('fault' in health) return health.fault;
  return health.isFrozen ? undefined : await commandFault(target);
}

/** The answer of `healthz`. */
export interface Health {
  readonly version: string;
  /** Whether the server is frozen. */
  readonly isFrozen: boolean;
}

/** Returns the answer of `healthz` at `origin`, or what is wrong. */
export async function askHealth(
  origin: string,
  init: BunFetchRequestInit = {},
  seconds: number = HEALTH_SECONDS,
): Promise<Health | { readonly fault: string; readonly isGone?: boolean }> {
  const answer = await ask(`${origin}/healthz`, init, seconds);
  if ('fault' in answer) return { fault: `healthz ${answer.fault}`, isGone: answer.isGone };
  if (answer.status !== 200) return { fault: `healthz answers ${answer.status}` };
  const { version, frozen } = answer.body;
  return typeof version === 'string' ? { version, isFrozen: frozen === true } : { fault: 'healthz is not from Agent3' };
}

/** Statuses of an agent that is alive but busy: too many commands, too many wrong tokens from here. */
const BUSY = 429;

async function commandFault(target: Target): Promise<string | undefined> {
  // With rules, the check could ask a person for approval every five minutes.
  const { body: info } = { body: {} as Record<string, unknown>, ...(await call(target, 'server_info', {})) };
  const { profile } = info as { profile?: { has_rules?: boolean } };
  if (profile?.has_rules === true) return undefined;
  const nonce = crypto.randomUUID();
  const answer = await call(target, 'shell', { cmd: `printf %s ${nonce}`, timeout: COMMAND_SECONDS });
  if ('fault' in answer) return `a command ${answer.fault}`;
  if (answer.status === BUSY) return undefined;
  // The server was frozen meanwhile.
  if (answer.body['error'] === 'Frozen') return undefined;
  if (answer.body['error'] === 'Unauthorized') return 'the token of the settings is refused';
  // A restart cannot change a profile that allows no commands or has a fault.
  if (['Forbidden', 'Not available'].includes(String(answer.body['error']))) return undefined;
  const { stdout, status, session } = answer.body;
  // Removes the session of the check. A session that cannot be closed expires.
  if (typeof session === 'string') await call(target, 'close_session', { session });
  if (answer.status !== 200) return `a command is answered ${answer.status}`;
  if (stdout === nonce || status === 'running') return undefined;
  return `a command returned no output (${String(status).slice(0, 40)})`;
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
      // On loopback, its certificate has another name.
      tls: { ...init.tls, rejectUnauthorized: false },
    });
    const body = parsed(await textOf(response));
    return { status: response.status, body: typeof body === 'object' && body !== null ? { ...body } : {} };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { isGone: !isLate, fault: isLate ? `did not answer within ${seconds} s` : 'was not answered' };
  }
}

/** More bytes than any answer of an agent: another program may use its port, and this runs as root. */
const MAX_ANSWER_BYTES = 1_048_576;

/** Reads a body, cut when it is too long. */
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
