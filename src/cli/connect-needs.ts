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

/** Exits when nobody could say what is not on the command line. */
export function requireAnswers({ json, yes, client }: Answering): void {
  if (json === true && client === undefined)
    fail(EXIT_USAGE, `--json asks nothing: add --client, one of ${CLIENT_KINDS.join(', ')}`);
  if (yes !== true && !canAnswer())
    fail(EXIT_USAGE, 'nobody can answer here whether the client is kept: add --yes, or run it in a terminal');
}

/** Whether standard input is a terminal, or a program may write to it. */
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

/** Exits when this is about an agent that was started by hand, and what it needs is not in the environment. */
function requireAgent(): void {
  if (isByHand() || existsSync(PATHS.manifest)) return;
  const here = processEnvironment();
  const missing = NEEDED.filter((name) => !here[name]);
  fail(
    EXIT_FAILURE,
    `no service is installed here (sudo agent3 install --domain NAME), and for an agent that was started by hand, ${missing.join(', ')} must be set, for the agent and here alike: ops/docs/connect.md has an example`,
  );
}

/** What a sign-in needs of the settings. Exits with the reason when it is not there. */
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
      'no public URL is set (AGENT3_PUBLIC_URL), and clients sign in over HTTPS: sudo agent3 install --domain NAME. Without sudo, the settings of the service cannot be read',
    );
  if (!takesSignIns(issuer))
    fail(
      EXIT_FAILURE,
      `AGENT3_PUBLIC_URL is ${visibleLine(issuer)}, and clients sign in over https alone: sudo agent3 install --domain NAME, or set the https URL of your proxy`,
    );
  if (!secret)
    fail(
      EXIT_FAILURE,
      'AGENT3_GRANT_KEY is not set: sudo agent3 install makes it; for an agent that was started by hand, agent3 token new prints one',
    );
  return { issuer, key: new GrantKey(secret) };
}

const LOCAL_MS = 3000;

/** Exits with what to do when the agent that runs takes no sign-ins, as before it was restarted with new settings. */
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
    process.stderr.write(`the agent does not answer at ${origin} now: agent3 doctor says why\n`);
    return;
  }
  if (named !== issuer)
    fail(
      EXIT_FAILURE,
      `the agent that runs takes no sign-ins at ${visibleLine(issuer)} yet: it was started without this URL, AGENT3_GRANT_KEY or AGENT3_TOKENS_FILE. ${describeRestart()}`,
    );
  if (await hasOtherKey(origin, key))
    fail(
      EXIT_FAILURE,
      `the agent that runs has another AGENT3_GRANT_KEY than ${isByHand() ? 'this environment' : 'its settings have now'}. ${describeRestart()}`,
    );
  if (!isUsed(sessionsHere()))
    fail(
      EXIT_FAILURE,
      `no agent uses the sessions directory ${visibleLine(resolve(sessionsHere()))}: run this in the directory in which the agent was started, or set AGENT3_SESSIONS_DIR as for the agent`,
    );
}

function describeRestart(): string {
  return isByHand()
    ? 'Stop it, and start it with the environment of this command'
    : 'Restart it: systemctl restart agent3';
}

/** Whether an agent holds the lock of a directory of sessions; true as well where this user cannot look. */
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

/** Whether the agent that runs does not know a client that is registered with this key. */
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
