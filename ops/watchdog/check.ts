import type { Target } from './target.ts';

const HEALTH_SECONDS = 5;
/** The command takes a millisecond; a machine under load gets time. */
const COMMAND_SECONDS = 15;

/**
 * What is wrong with the agent, in a few words; undefined when nothing is: its unit is active, `healthz` answers, and a
 * command through the API comes back. An agent that refuses because it is busy is alive.
 */
export async function findFault(target: Target): Promise<string | undefined> {
  const state = systemctl('is-active', target.unit);
  // While it opens its logs anew, it answers.
  if (state !== 'active' && state !== 'reloading') return `the unit is ${state}`;
  return (await healthFault(target)) ?? (await commandFault(target));
}

/** The owner has switched the agent off for good: not to be started again. */
export function isSwitchedOff(unit: string): boolean {
  const isOff = ['disabled', 'masked'].includes(systemctl('is-enabled', unit));
  return isOff && systemctl('is-active', unit) === 'inactive';
}

const RESTART_SECONDS = 90;

/** Restarts the unit; systemd waits until it says that it is ready. Gives what systemd said against it, if anything. */
export function restart(unit: string): string | undefined {
  const { exitCode, stderr } = run(['systemctl', 'restart', unit], RESTART_SECONDS);
  return exitCode === 0 ? undefined : `systemctl restart failed: ${stderr.toString().trim().slice(0, 300)}`;
}

/** Starts a unit, and does not wait for it. Gives what systemd said against it, if anything. */
export function startUnit(unit: string): string | undefined {
  const { exitCode, stderr } = run(['systemctl', '--no-block', 'start', unit], HEALTH_SECONDS);
  return exitCode === 0 ? undefined : `systemctl start ${unit} failed: ${stderr.toString().trim().slice(0, 300)}`;
}

/** Stops every command of the agent: they run in a unit of their own, which a restart of the agent leaves alone. */
export function stopCommands(unit: string): void {
  run(['systemctl', 'try-restart', `${unit.replace(/\.service$/, '')}-commands.service`], RESTART_SECONDS);
}

/** The one word that systemctl answers; `unknown` where it cannot be asked. */
function systemctl(verb: 'is-active' | 'is-enabled', unit: string): string {
  return run(['systemctl', verb, unit], HEALTH_SECONDS).stdout.toString().trim() || 'unknown';
}

function run(argv: string[], seconds: number): { exitCode: number | null; stdout: Buffer; stderr: Buffer } {
  try {
    return Bun.spawnSync(argv, {
      // Nothing of the watchdog's own environment, which holds the token.
      env: { PATH: Bun.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', SYSTEMD_COLORS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { exitCode: 127, stdout: Buffer.alloc(0), stderr: Buffer.from(text) };
  }
}

async function healthFault({ origin }: Target): Promise<string | undefined> {
  const answer = await ask(`${origin}/healthz`, {}, HEALTH_SECONDS);
  if ('fault' in answer) return `healthz ${answer.fault}`;
  return answer.status === 200 ? undefined : `healthz answers ${answer.status}`;
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
  if (answer.status === 403) return 'the token of the settings is refused';
  // A profile that takes no commands, or cannot be had, is a matter of its owner: a restart changes nothing of it.
  if (['Not allowed', 'Profile unavailable'].includes(String(answer.body['error']))) return undefined;
  const { stdout, status, session } = answer.body;
  // Nothing is left of the check; a session that cannot be closed goes by its age.
  if (typeof session === 'string') await call(target, 'close_session', { session });
  if (answer.status !== 200) return `a command is answered ${answer.status}`;
  if (stdout === nonce || status === 'running') return undefined;
  return `a command did not give what it printed (${String(status).slice(0, 40)})`;
}

type Reply = { readonly fault: string } | { readonly status: number; readonly body: Record<string, unknown> };

function call({ origin, token }: Target, op: string, args: unknown): Promise<Reply> {
  const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify({ op, args }) };
  return ask(`${origin}/`, init, COMMAND_SECONDS);
}

async function ask(url: string, init: RequestInit, seconds: number): Promise<Reply> {
  try {
    const response = await fetch(url, {
      ...init,
      signal: AbortSignal.timeout(seconds * 1000),
      // It is asked on loopback, under another name than that of its certificate.
      tls: { rejectUnauthorized: false },
    });
    const body: unknown = await response.json().catch(() => ({}));
    return { status: response.status, body: typeof body === 'object' && body !== null ? { ...body } : {} };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { fault: isLate ? `did not answer within ${seconds} s` : 'was not answered' };
  }
}
