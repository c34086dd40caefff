import { closeSync, existsSync, fstatSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { addressOf } from '../../ops/watchdog/target.ts';
import { CLIENT_KINDS, type ClientKind } from '../access/client-kinds.ts';
import { GrantKey, takesSignIns } from '../access/grant.ts';
import { register } from '../connect/clients.ts';
import { PATHS } from '../install/layout.ts';
import { plainOrigin } from '../lib/addresses.ts';
import { errnoOf } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { tryLock } from '../linux/libc.ts';
import { faultsOfSettings } from '../settings/config.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { isByHand, sessionsHere, settingsHere } from './here.ts';

interface Answering {
  readonly client?: ClientKind | undefined;
  readonly json?: true | undefined;
  readonly yes?: true | undefined;
}

/** Exits when a value is missing and nobody can be asked for it. */
export function requireAnswers({ json, yes, client }: Answering): void {
  if (json === true && client === undefined)
    fail(EXIT_USAGE, `--json asks no questions: add --client, one of ${CLIENT_KINDS.join(', ')}`);
  if (yes !== true && !canAnswer())
    fail(EXIT_USAGE, 'there is no terminal to ask whether to keep the client: add --yes, or run it in a terminal');
}

/** Returns true when standard input is a terminal, or a program may write to it. */
function canAnswer(): boolean {
  if (process.stdin.isTTY === true) return true;
  try {
    const stat = fstatSync(0);
    return stat.isFIFO() || stat.isSocket() || stat.isFile();
  } catch {
    // It is closed.
    return false;
  }
}

const NEEDED = ['AGENT3_PUBLIC_URL', 'AGENT3_GRANT_KEY', 'AGENT3_TOKENS_FILE'] as const;

/** Exits when the agent was started by hand and a setting is missing in the environment. */
function requireAgent(): void {
  if (isByHand() || existsSync(PATHS.manifest)) return;
  const here = processEnvironment();
  const missing = NEEDED.filter((name) => !here[name]);
  fail(
    EXIT_FAILURE,
    `no service is installed here. To install it: sudo agent3 install --domain NAME. For an agent that was started by hand, set ${missing.join(', ')} here and for the agent (example: ops/docs/connect.md)`,
  );
}

/** Returns the settings that a sign-in needs. Exits with the reason when one is missing. */
export function requireSignIn(): { readonly issuer: string; readonly key: GrantKey } {
  requireAgent();
  const settings = settingsHere();
  const { AGENT3_PUBLIC_URL: url = '', AGENT3_GRANT_KEY: secret } = settings;
  const faults = faultsOfSettings(settings, NEEDED);
  if (faults.length > 0) fail(EXIT_FAILURE, ...faults);
  const issuer = plainOrigin(url);
  if (issuer === '')
    fail(
      EXIT_FAILURE,
      'clients sign in over HTTPS, and AGENT3_PUBLIC_URL is not set: sudo agent3 install --domain NAME. Without a public name: "A server without a public name" in ops/docs/connect.md',
      ...(process.geteuid?.() === 0 ? [] : ['only root can read the settings of the service: sudo agent3 connect']),
    );
  if (!takesSignIns(issuer))
    fail(
      EXIT_FAILURE,
      `clients sign in only over https, or at http://127.0.0.1:PORT, and AGENT3_PUBLIC_URL is ${visibleLine(issuer)}: sudo agent3 install --domain NAME, or set the https URL of your proxy`,
    );
  if (!secret)
    fail(
      EXIT_FAILURE,
      'AGENT3_GRANT_KEY is not set. For the service: sudo agent3 install. For an agent that was started by hand, agent3 token new prints a key',
    );
  return { issuer, key: new GrantKey(secret) };
}

const LOCAL_MS = 3000;

/** Exits with what to do when the running agent accepts no sign-ins, for example because it still has old settings. */
export async function requireRunning(issuer: string, key: GrantKey): Promise<void> {
  const { origin } = addressOf(settingsHere());
  let named: unknown;
  try {
    const response = await fetch(`${origin}/.well-known/oauth-authorization-server`, {
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(LOCAL_MS),
    } as RequestInit);
    named = response.ok ? ((await response.json()) as { issuer?: unknown }).issuer : undefined;
  } catch {
    process.stderr.write(`the agent does not answer at ${origin}. To find out why: agent3 doctor\n`);
    return;
  }
  if (named !== issuer)
    fail(
      EXIT_FAILURE,
      `the running agent accepts no sign-ins at ${visibleLine(issuer)}: it was started without this URL, AGENT3_GRANT_KEY or AGENT3_TOKENS_FILE. ${describeRestart()}`,
    );
  if (await hasOtherKey(origin, key))
    fail(
      EXIT_FAILURE,
      `the AGENT3_GRANT_KEY of the running agent is not that of ${isByHand() ? 'this environment' : 'the settings'}. ${describeRestart()}`,
    );
  if (!isUsed(sessionsHere()))
    fail(
      EXIT_FAILURE,
      `no agent uses the sessions directory ${visibleLine(resolve(sessionsHere()))}: run this where the agent was started, or set AGENT3_SESSIONS_DIR as for the agent`,
    );
}

function describeRestart(): string {
  return isByHand()
    ? 'Stop it, and start it with the environment of this command'
    : 'Restart it: systemctl restart agent3';
}

/** Returns true when an agent holds the lock of the sessions directory, or when this user cannot read it. */
function isUsed(sessions: string): boolean {
  try {
    const fd = openSync(join(sessions, '.lock'), 'r');
    try {
      return !tryLock(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return errnoOf(error) !== 'ENOENT';
  }
}

/** Returns true when the running agent does not know a client that is registered with this key. */
async function hasOtherKey(origin: string, key: GrantKey): Promise<boolean> {
  const redirect = 'http://127.0.0.1/callback';
  const { id } = register(key, { redirect_uris: [redirect] });
  const query = new URLSearchParams({ client_id: id, redirect_uri: redirect });
  try {
    const { status } = await fetch(`${origin}/oauth/authorize?${query}`, {
      redirect: 'manual',
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(LOCAL_MS),
    } as RequestInit);
    return status === 400;
  } catch {
    return false;
  }
}
