import { existsSync } from 'node:fs';
import { addressOf } from '../../ops/watchdog/target.ts';
import { changeTokens, RESERVED, withoutToken } from '../access/token-file.ts';
import { ConsoleFault } from '../console/fault.ts';
import { obeyOrders, type RootActions } from '../console/obey.ts';
import type { PassOn } from '../console/passed-on.ts';
import { installedSettings, readManifest } from '../install/installed.ts';
import { CONSOLE_RUNTIME, PATHS } from '../install/layout.ts';
import { fileFingerprint } from '../lib/files.ts';
import { accountOf } from '../process/environment.ts';
import { CONSOLE_SETTINGS } from '../settings/console.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { freezeActions } from './freeze-actions.ts';
import { decisionsHere, groupOf, ownerOf, placeHere, tokensFile } from './here.ts';

/**
 * Obeys what the owner's console has left for root. Exits with the reason when it cannot. An agent that is no service
 * runs it as itself, and says when it was started.
 */
export async function obeyConsole(startedAt: number | undefined): Promise<void> {
  if (process.geteuid?.() !== 0 && startedAt === undefined)
    fail(EXIT_USAGE, 'only root obeys: sudo agent3 console obey');
  const environment = processEnvironment();
  const console = placeHere(undefined, 'AGENT3_CONSOLE_DIR', PATHS.console);
  if (console === undefined) fail(EXIT_USAGE, 'no agent is installed here: set AGENT3_CONSOLE_DIR as for the agent');
  // Of an agent that was started by hand, those of the environment alone: not those of a service on the same machine.
  const isNamed = Boolean(environment['AGENT3_CONSOLE_DIR']);
  const decisions = isNamed ? environment['AGENT3_APPROVALS_DIR'] || undefined : decisionsHere();
  // As whom commands run, a service has no say; an agent of development proves nothing anyhow.
  const isService = decisions === PATHS.approvals;
  const settings = isNamed ? environment : installedSettings();
  const secrets = new Secrets(settings, startedAt);
  // Undefined: this is no hub.
  const fleet = settings['AGENT3_FLEET_DIR'] || undefined;
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  const user = isService ? readManifest(PATHS.manifest)?.user : undefined;
  const passkeysFile = environment['AGENT3_PASSKEYS_FILE'] || CONSOLE_SETTINGS.AGENT3_PASSKEYS_FILE.schema.default;
  try {
    await obeyOrders({
      place: { console, stranger: user === undefined ? undefined : accountOf(user)?.user },
      answers: environment['AGENT3_CONSOLE_ANSWERS'] || CONSOLE_SETTINGS.AGENT3_CONSOLE_ANSWERS.schema.default,
      passkeysFile,
      startedAt,
      isAwaited: isService ? awaited() : () => false,
      tell,
      passOn: fleet === undefined ? undefined : passingOnHere(fleet, secrets, tell),
      actions: {
        ...rootActions({
          decisions,
          isNamed,
          origin: isService ? addressOf(installedSettings()).origin : undefined,
          secrets,
        }),
        changeKeys:
          fleet === undefined
            ? undefined
            : async (file) => (await import('./console-keys.ts')).addLink(fleet, passkeysFile, file),
      },
    });
  } catch (error) {
    if (!(error instanceof ConsoleFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}

/** Whether the console runs, and nothing was set otherwise since: then the next order is for a process that knows it. */
function awaited(): () => boolean {
  const set = (): string => [PATHS.settings, PATHS.consoleSettings, PATHS.manifest].map(fileFingerprint).join();
  const before = set();
  return () => existsSync(CONSOLE_RUNTIME) && set() === before;
}

const TOKENS = 'the agent has no file of tokens. Set AGENT3_TOKENS_FILE, and restart the agent';

/** Keys: of the settings, or what an agent of development gives to its own process. An environment others may read. */
class Secrets {
  #given: Promise<Readonly<Record<string, string | undefined>>> | undefined;

  constructor(
    private readonly settings: Readonly<Record<string, string | undefined>>,
    private readonly startedAt: number | undefined,
  ) {}

  async get(name: 'AGENT3_GRANT_KEY' | 'AGENT3_FLEET_KEY'): Promise<string | undefined> {
    const named = this.settings[name];
    if (named || this.startedAt === undefined) return named || undefined;
    this.#given ??= Bun.stdin.json();
    return (await this.#given)[name] || undefined;
  }
}

/** What reaches the servers of the fleet in a directory. */
function passingOnHere(directory: string, secrets: Secrets, tell: (line: string) => void): PassOn {
  let opened: Promise<PassOn> | undefined;
  const open = async (): Promise<PassOn> => {
    const key = requireSet(await secrets.get('AGENT3_FLEET_KEY'), 'AGENT3_FLEET_KEY is not set: the fleet needs it');
    // Loaded when it is needed: a freeze of this server is not to wait for it.
    const { passingOn } = await import('./console-pass-on.ts');
    return passingOn(directory, key, tell);
  };
  return async (file) => {
    opened ??= open();
    return (await opened)(file);
  };
}

interface Here {
  /** The directory of decisions. */
  readonly decisions: string | undefined;
  /** The agent is that of the environment. */
  readonly isNamed: boolean;
  readonly origin: string | undefined;
  readonly secrets: Secrets;
}

function rootActions({ decisions, isNamed, origin, secrets }: Here): RootActions {
  return {
    ...freezeActions(decisions, origin),
    revoke: ({ token, made }) => {
      if (token === RESERVED)
        throw new Error('the token of the settings is AGENT3_API_TOKEN: set another one there, and restart the agent');
      const path = tokensHere(isNamed);
      const options = { group: groupOf(path), own: ownerOf(path) };
      changeTokens(path, (tokens) => withoutToken(tokens, token, made), options);
    },
    changeTokens: async (order, signature) => {
      // Loaded when it is needed: a freeze is not to wait for it.
      const { changeByOrder } = await import('./console-tokens.ts');
      changeByOrder(tokensHere(isNamed), order, signature, await secrets.get('AGENT3_GRANT_KEY'));
    },
  };
}

/** The file of tokens; of an agent that was started by hand, that of the environment alone. */
function tokensHere(isNamed: boolean): string {
  return tokensFile(isNamed ? requireSet(processEnvironment()['AGENT3_TOKENS_FILE'] || undefined, TOKENS) : undefined);
}

/** Throws `why` where a setting is missing. */
function requireSet(value: string | undefined, why: string): string {
  if (value === undefined) throw new Error(why);
  return value;
}
