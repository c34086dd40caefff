import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { addressOf } from '../../ops/watchdog/target.ts';
import { CLIENT_KINDS, type ClientKind, GrantKey, type GrantRecord, makeGrant, takesSignIns } from '../access/grant.ts';
import type { Profile } from '../access/profile.ts';
import { type GrantState, grantsDirectory, readState } from '../connect/grant-state.ts';
import { plainOrigin } from '../lib/addresses.ts';
import { delay } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { askFor, describeConnected, describeSteps } from './connect-words.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { sessionsHere, settingsHere } from './here.ts';
import { parseTime } from './token.ts';
import { changeHere, fileOption, requireName, requireProfile, type TokenOptions, warnOfSandbox } from './token-here.ts';

/** `agent3 connect`: lets a chat or another MCP client sign in. */
export function defineConnect(command: Command): void {
  command
    .option('--name <name>', 'what the grant is called in agent3 token list (default: that of the client)')
    .addOption(new Option('--client <client>', 'what you connect').choices(CLIENT_KINDS))
    .option('--profile <profile>', 'what it may do: full, readonly, or one of agent3 profile list (default: readonly)')
    .option('--expires <time>', 'when it ends: 12h, 30d, 8w, never (default: never)', parseEnd)
    .option('--json', 'print a line of JSON for each event')
    .option('--yes', 'keep the connection without asking')
    .addOption(new Option('--ip <network>').hideHelp())
    .addOption(fileOption())
    .addHelpText('after', EXAMPLES)
    .action(connect);
}

const EXAMPLES = `
It shows a one-time code, which you enter on the page that the client opens, and waits until the client has come.

Examples:
  sudo agent3 connect
  sudo agent3 connect --client chatgpt --profile readonly --expires 30d
  sudo agent3 connect --client claude --json --yes`;

interface ConnectOptions extends TokenOptions {
  readonly name?: string | undefined;
  readonly client?: ClientKind | undefined;
  readonly profile?: string | undefined;
  readonly expires?: number | 'never' | undefined;
  readonly ip?: string | undefined;
  readonly json?: true | undefined;
  readonly yes?: true | undefined;
}

function parseEnd(text: string): number | 'never' {
  if (text === 'never') return text;
  try {
    return parseTime(text);
  } catch {
    throw new InvalidArgumentError('A time is a number with s, m, h, d or w behind it, such as 30d, or never.');
  }
}

async function connect(options: ConnectOptions): Promise<void> {
  if (options.ip !== undefined)
    fail(EXIT_USAGE, 'a grant has no --ip: clients come from the addresses of their makers, which change');
  const { issuer, key } = requireSignIn();
  await requireRunning(issuer);
  const isAsked = options.json !== true && process.stdin.isTTY === true;
  const answers = isAsked ? await askFor(options) : options;
  const profile = requireProfile(answers.profile ?? 'readonly');
  await warnOfSandbox(profile);
  const { record, code } = create(answers, profile, key, options);
  const grant: Grant = { record, options, key };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => end(grant, 'ended', 'you stopped it'));
  process.stdout.on('error', () => end(grant, 'ended', 'nobody reads this'));
  show(grant, code, `${issuer}/mcp`);
  const state = await arrival(grant);
  tell(
    options,
    { event: 'connected', client: state.client_name, redirect: state.redirect_uri, address: state.address },
    describeConnected(state),
  );
  if (options.yes !== true && !(await isKept(options))) end(grant, 'ended', 'you did not keep it');
  if (options.json !== true)
    process.stderr.write(`connected as ${record.name}; to end it: agent3 token revoke ${record.name}\n`);
  process.exit(0);
}

/** A grant that this run has made. */
interface Grant {
  readonly record: GrantRecord;
  readonly options: ConnectOptions;
  readonly key: GrantKey;
}

/** What a sign-in needs of the settings. Exits with the reason when it is not there. */
function requireSignIn(): { readonly issuer: string; readonly key: GrantKey } {
  const { AGENT3_PUBLIC_URL: url = '', AGENT3_GRANT_KEY: secret } = settingsHere();
  const issuer = plainOrigin(url);
  if (issuer === '')
    fail(
      EXIT_FAILURE,
      'no public URL is set (AGENT3_PUBLIC_URL), and clients sign in over HTTPS: sudo agent3 install --domain NAME. Without sudo, the settings of the service cannot be read',
    );
  if (!takesSignIns(issuer))
    fail(EXIT_FAILURE, `AGENT3_PUBLIC_URL is ${visibleLine(issuer)}, and clients sign in over https alone`);
  if (!secret) fail(EXIT_FAILURE, 'AGENT3_GRANT_KEY is not set: sudo agent3 install makes it');
  return { issuer, key: new GrantKey(secret) };
}

const LOCAL_MS = 3000;

/** Exits with what to do when the agent that runs takes no sign-ins, as before it was restarted with new settings. */
async function requireRunning(issuer: string): Promise<void> {
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
  if (named === issuer) return;
  fail(EXIT_FAILURE, `the agent that runs takes no sign-ins at ${visibleLine(issuer)} yet: systemctl restart agent3`);
}

function create(answers: ConnectOptions, profile: Profile, key: GrantKey, options: ConnectOptions) {
  const client = answers.client ?? 'other';
  if (answers.name !== undefined) requireName(answers.name);
  const now = Date.now();
  const expiresAt = typeof answers.expires === 'number' ? now + answers.expires : null;
  let made: ReturnType<typeof makeGrant> | undefined;
  const isRead = changeHere(options, (tokens) => {
    const isTaken = (name: string): boolean => tokens.some((token) => token.name === name);
    if (answers.name !== undefined && isTaken(answers.name))
      fail(
        EXIT_FAILURE,
        `there is a token ${answers.name}; choose another name, or: agent3 token revoke ${answers.name}`,
      );
    const name = answers.name ?? freeName(client, isTaken);
    made = makeGrant(key, { name, profile: profile.name, client, expiresAt }, now);
    return [...tokens, made.record];
  });
  if (!isRead || made === undefined) process.exit(EXIT_FAILURE);
  return made;
}

function freeName(client: ClientKind, isTaken: (name: string) => boolean): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? client : `${client}-${number}`;
    if (!isTaken(name)) return name;
  }
}

function show({ record, options }: Grant, code: string, url: string): void {
  const { name, profile, expires_at, grant } = record;
  const event = {
    event: 'code',
    code,
    url,
    name,
    client: grant.client,
    profile,
    expires: expires_at === null ? null : new Date(expires_at).toISOString(),
    code_expires: new Date(grant.code_expires_at).toISOString(),
  };
  tell(options, event, describeSteps(record, code, url));
}

/** A line of JSON, or words. */
function tell({ json }: ConnectOptions, event: Readonly<Record<string, unknown>>, words: string): void {
  process.stdout.write(json === true ? `${JSON.stringify(event)}\n` : `${words}\n`);
}

const LOOK_MS = 200;
/** The agent may be a moment late. */
const MARGIN_MS = 2000;

/** Resolves with the state of the grant when its client has its tokens. Exits when the code is over. */
async function arrival(grant: Grant): Promise<GrantState> {
  for (;;) {
    const state = stateOf(grant);
    if (state !== undefined && state.ended !== null) end(grant, 'expired', state.ended);
    if (state !== undefined && state.generation > 0) return state;
    const until = state?.code_until ?? grant.record.grant.code_expires_at;
    if (Date.now() > until + MARGIN_MS)
      end(grant, 'expired', state === undefined ? 'nobody came with the code' : 'the client did not fetch its tokens');
    await delay(LOOK_MS);
  }
}

function stateOf({ record, key }: Grant): GrantState | undefined {
  const directory = grantsDirectory(sessionsHere());
  try {
    const state = readState(directory, key, record);
    return typeof state === 'string' ? undefined : state;
  } catch (error) {
    fail(EXIT_FAILURE, `${directory} cannot be read: ${describeErrno(error)}. Try it with sudo.`);
  }
}

/** Ends the grant and the program. */
function end({ record, options }: Grant, event: 'ended' | 'expired', why: string): never {
  changeHere(options, (tokens) => tokens.filter(({ id }) => id !== record.id));
  tell(options, { event, why }, `${event === 'ended' ? 'ended' : 'the code is over'}: ${visibleLine(why)}`);
  process.exit(EXIT_FAILURE);
}

/** What the owner answers; without an answer, the grant ends. */
async function isKept({ json }: ConnectOptions): Promise<boolean> {
  const lines = createInterface({ input: process.stdin });
  if (json !== true) process.stdout.write('Keep it? [Y/n] ');
  for await (const line of lines) return !/^\s*no?\s*$/i.test(line);
  return false;
}
