import { addressOf } from '../../ops/watchdog/target.ts';
import { currentFreeze, readFreezes } from '../access/freeze.ts';
import { changeTokens, withoutToken } from '../access/token-file.ts';
import { obeyOrders, type RootActions } from '../console/obey.ts';
import { OrdersFault } from '../console/order-files.ts';
import { freezeServer, thawServer } from '../install/freezing.ts';
import { installedSettings, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { accountOf } from '../process/environment.ts';
import { processEnvironment } from '../settings/config.ts';
import { CONSOLE_SETTINGS } from '../settings/console.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { decisionsHere, groupOf, ownerOf, placeHere, tokensFile } from './here.ts';
import { RESERVED } from './token-here.ts';

/** Obeys what the owner's console has left for root. Exits with the reason when it cannot. */
export async function obeyConsole(): Promise<void> {
  if (process.geteuid?.() !== 0) fail(EXIT_USAGE, 'only root obeys: sudo agent3 console obey');
  const environment = processEnvironment();
  const console = placeHere(undefined, 'AGENT3_CONSOLE_DIR', PATHS.console);
  if (console === undefined) fail(EXIT_USAGE, 'no agent is installed here: set AGENT3_CONSOLE_DIR as for the agent');
  const decisions = decisionsHere();
  // As whom commands run, a service has no say; an agent of development proves nothing anyhow.
  const isService = decisions === PATHS.approvals;
  const user = isService ? readManifest(PATHS.manifest)?.user : undefined;
  try {
    await obeyOrders({
      place: { console, stranger: user === undefined ? undefined : accountOf(user)?.user },
      answers: environment['AGENT3_CONSOLE_ANSWERS'] || CONSOLE_SETTINGS.AGENT3_CONSOLE_ANSWERS.schema.default,
      passkeysFile: environment['AGENT3_PASSKEYS_FILE'] || CONSOLE_SETTINGS.AGENT3_PASSKEYS_FILE.schema.default,
      tell: (line) => void process.stdout.write(`${line}\n`),
      actions: rootActions(decisions, isService ? addressOf(installedSettings()).origin : undefined),
    });
  } catch (error) {
    if (!(error instanceof OrdersFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}

function rootActions(decisions: string, origin: string | undefined): RootActions {
  return {
    freeze: async ({ reason }, by) => {
      await freezeServer({ decisions, by, origin }, reason);
    },
    frozen: () => currentFreeze(readFreezes(decisions)),
    thaw: (signature, by) => {
      thawServer({ decisions, by, origin }, signature);
    },
    revoke: ({ token, made }) => {
      if (token === RESERVED)
        throw new Error('the token of the settings is AGENT3_API_TOKEN: set another one there, and restart the agent');
      const path = tokensFile(undefined);
      const options = { group: groupOf(path), own: ownerOf(path) };
      changeTokens(path, (tokens) => withoutToken(tokens, token, made), options);
    },
  };
}
