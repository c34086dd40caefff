import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { CLIENT_KINDS, type ClientKind } from '../access/client-kinds.ts';
import { type GrantKey, type GrantRecord, keepGrant, makeGrant } from '../access/grant.ts';
import type { Profile } from '../access/profile.ts';
import { readTokens } from '../access/token-file.ts';
import { delay } from '../lib/clock.ts';
import { visibleLine } from '../lib/visible.ts';
import { requireAnswers, requireRunning, requireSignIn } from './connect-needs.ts';
import { askFor, describeConnected, describeSteps } from './connect-prompts.ts';
import { Answers, GrantOver, GrantWatch } from './connect-wait.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { ownerOf, tokensFile } from './here.ts';
import { parseTime } from './token.ts';
import {
  attempt,
  changeHere,
  fileOption,
  nameFault,
  profileFault,
  requireName,
  requireProfile,
  type TokenOptions,
  warnOfSandbox,
} from './token-here.ts';

/** `agent3 connect`: lets a chat or another MCP client sign in. */
export function defineConnect(command: Command): void {
  command
    .option('--name <name>', 'name of the grant in agent3 token list (default: that of the client)')
    .addOption(new Option('--client <client>', 'client to connect').choices(CLIENT_KINDS))
    .option(
      '--profile <profile>',
      'what the client may do: full, readonly, or another of agent3 profile list (default: readonly)',
    )
    .option('--expires <time>', 'lifetime: 12h, 30d, 8w, never (default: never)', parseEnd)
    .option('--json', 'print a line of JSON for each event')
    .option('--yes', 'keep the connection without asking')
    .addOption(new Option('--ip <network>').hideHelp())
    .addOption(fileOption())
    .addHelpText('after', EXAMPLES)
    .action(connect);
}

const EXAMPLES = `
The command prints a one-time code and waits. Enter the code on the page that the client opens.
The client can do nothing until you keep the connection.

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
    throw new InvalidArgumentError('A time is a number followed by s, m, h, d or w, such as 30d, or never.');
  }
}

async function connect(options: ConnectOptions): Promise<void> {
  if (options.ip !== undefined) fail(EXIT_USAGE, 'a grant has no --ip: the addresses of such clients change');
  const { issuer, key } = requireSignIn();
  await requireRunning(issuer, key);
  requireAnswers(options);
  const isAsked = options.json !== true && process.stdin.isTTY === true;
  const answers = isAsked ? await askFor(options, checks(options)) : options;
  const profile = requireProfile(answers.profile ?? 'readonly');
  await warnOfSandbox(profile);
  const { record, code } = create(answers, profile, key, options);
  const grant: Grant = { record, options };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // The terminal has printed ^C on this line.
      if (signal === 'SIGINT' && options.json !== true) process.stdout.write('\n');
      end(grant, 'ended', 'you stopped it');
    });
  process.stdout.on('error', () => end(grant, 'ended', 'nobody reads the output'));
  show(grant, code, `${issuer}/mcp`);
  const watch = new GrantWatch(record, key, tokensFile(options.file));
  // Read from now on, so that a line typed before the question does not answer it.
  const typed = options.yes === true ? undefined : new Answers();
  try {
    const state = await watch.arrival();
    report(
      options,
      { event: 'connected', client: state.client_name, redirect: state.redirect_uri, address: state.address },
      describeConnected(state),
    );
    if (typed !== undefined) {
      if (!(await isWanted(options, watch, typed))) throw new GrantOver('ended', 'you did not keep it');
      keep(grant, key);
    }
  } catch (error) {
    if (!(error instanceof GrantOver)) throw error;
    end(grant, error.event, error.why);
  }
  if (options.json !== true)
    process.stderr.write(`connected as ${record.name}; to end it: agent3 token revoke ${record.name}\n`);
  process.exit(0);
}

/** The grant of this run. */
interface Grant {
  readonly record: GrantRecord;
  readonly options: ConnectOptions;
}

/** Allows the client that has connected. Throws `GrantOver`. */
function keep({ record, options }: Grant, key: GrantKey): void {
  changeHere(options, (tokens) => {
    if (!tokens.some(({ id }) => id === record.id)) throw new GrantOver('ended', 'revoked');
    return tokens.map((token) => (token.id === record.id ? keepGrant(key, record) : token));
  });
}

/** Checks answers before the grant is made. */
function checks(options: ConnectOptions) {
  const path = tokensFile(options.file);
  const tokens = attempt(() => readTokens(path, ownerOf(path)));
  const isTaken = (name: string): boolean => tokens.some((token) => token.name === name);
  return {
    profileFault,
    nameFault: (name: string) => nameFault(name) ?? (isTaken(name) ? `the token ${name} exists already` : undefined),
    usualName: (client: ClientKind) => freeName(client, isTaken),
  };
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
        `the token ${answers.name} exists already. Choose another name, or end it: agent3 token revoke ${answers.name}`,
      );
    const name = answers.name ?? freeName(client, isTaken);
    made = makeGrant(key, { name, profile: profile.name, client, expiresAt, isKept: options.yes === true }, now);
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
  report(options, event, describeSteps(record, code, url));
}

/** Prints an event as a line of JSON, or as text. */
function report({ json }: ConnectOptions, event: Readonly<Record<string, unknown>>, words: string): void {
  process.stdout.write(json === true ? `${JSON.stringify(event)}\n` : `${words}\n`);
}

/** Ends the grant and the program. */
function end({ record, options }: Grant, event: 'ended' | 'expired', why: string): never {
  changeHere(options, (tokens) => tokens.filter(({ id }) => id !== record.id));
  report(
    options,
    { event, why },
    `${event}: ${visibleLine(why)}${event === 'expired' ? '. For a new code, run agent3 connect again' : ''}`,
  );
  process.exit(EXIT_FAILURE);
}

/** Asks the owner. On a terminal, keys typed before the question are dropped. Throws `GrantOver`. */
async function isWanted({ json }: ConnectOptions, watch: GrantWatch, answers: Answers): Promise<boolean> {
  const isTerminal = process.stdin.isTTY === true;
  for (;;) {
    if (isTerminal) {
      await delay(TYPED_AHEAD_MS);
      answers.forget();
    }
    if (json !== true) process.stdout.write('It can do nothing until you keep it. Keep it? [Y/n] ');
    const answer = await watch.answer(() => answers.take());
    if (/^\s*(?:y|yes)?\s*$/i.test(answer)) return true;
    if (!isTerminal || /^\s*no?\s*$/i.test(answer)) return false;
  }
}

/** Time in which keys are dropped: a key pressed as the client connects is no answer to the question. */
const TYPED_AHEAD_MS = 300;
