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
 * Obeys the orders of the owner's console for root. Exits with the reason when it cannot. An agent that is no service
 * runs it as its own user, with the time of its start.
 */
export async function obeyConsole(startedAt: number | undefined): Promise<void> {
  if (process.geteuid?.() !== 0 && startedAt === undefined)
    fail(EXIT_USAGE, 'only root may do this: sudo agent3 console obey');
  const environment = processEnvironment();
  const console = placeHere(undefined, 'AGENT3_CONSOLE_DIR', PATHS.console);
  if (console === undefined) fail(EXIT_USAGE, 'no agent is installed here: set AGENT3_CONSOLE_DIR as for the agent');
  // For an agent that was started by hand, only the environment counts, not a service on the same machine.
  const isNamed = Boolean(environment['AGENT3_CONSOLE_DIR']);
  const decisions = isNamed ? environment['AGENT3_APPROVALS_DIR'] || undefined : decisionsHere();
  // The user of the commands may order nothing of a service. An agent that was started by hand proves nothing anyway.
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
      notePassed:
        fleet === undefined
          ? undefined
          : async (line) => (await import('../fleet/passed-orders.ts')).notePassed(fleet, line),
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

/** Returns true when the console runs with the current settings. */
function awaited(): () => boolean {
  const set = (): string => [PATHS.settings, PATHS.consoleSettings, PATHS.manifest].map(fileFingerprint).join();
  const before = set();
  return () => existsSync(CONSOLE_RUNTIME) && set() === before;
}

const TOKENS = 'the agent has no file of tokens. Set AGENT3_TOKENS_FILE, and restart the agent';

/** Keys of the settings, or from standard input: other processes could read them in the environment. */
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

/** Returns a function that passes orders on to the servers of the fleet in a directory. */
function passingOnHere(directory: string, secrets: Secrets, tell: (line: string) => void): PassOn {
  let opened: Promise<PassOn> | undefined;
  const open = async (): Promise<PassOn> => {
    const key = requireSet(await secrets.get('AGENT3_FLEET_KEY'), 'AGENT3_FLEET_KEY is not set: the fleet needs it');
    // Loaded only when needed, so that a freeze of this server does not wait for it.
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
  /** True when the agent is that of the environment. */
  readonly isNamed: boolean;
  readonly origin: string | undefined;
  readonly secrets: Secrets;
}

function rootActions({ decisions, isNamed, origin, secrets }: Here): RootActions {
  return {
    ...freezeActions(decisions, origin),
    revoke: ({ token, made }) => {
      if (token === RESERVED)
        throw new Error('this token is AGENT3_API_TOKEN of the settings: change it there, and restart the agent');
      const path = tokensHere(isNamed);
      const options = { group: groupOf(path), own: ownerOf(path) };
      changeTokens(path, (tokens) => withoutToken(tokens, token, made), options);
    },
    changeTokens: async (order, signature) => {
      // Loaded only when needed, so that a freeze does not wait for it.
      const { changeByOrder } = await import('./console-tokens.ts');
      changeByOrder(tokensHere(isNamed), order, signature, await secrets.get('AGENT3_GRANT_KEY'));
    },
  };
}

/** Returns the file of tokens; for an agent that was started by hand, only that of the environment. */
function tokensHere(isNamed: boolean): string {
  return tokensFile(isNamed ? requireSet(processEnvironment()['AGENT3_TOKENS_FILE'] || undefined, TOKENS) : undefined);
}

/** Throws `why` when a setting is missing. */
function requireSet(value: string | undefined, why: string): string {
  if (value === undefined) throw new Error(why);
  return value;
}
