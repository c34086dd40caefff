import { basename, dirname } from 'node:path';
import { addressOf } from '../../ops/watchdog/target.ts';
import { ConsoleFault } from '../console/fault.ts';
import { type HubRootDeps, obeyHubOrders, obeyOne } from '../fleet/hub-root.ts';
import { installedSettings } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { CONSOLE_SETTINGS } from '../settings/console.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { freezeActions } from './freeze-actions.ts';

/** Obeys, as root, the orders of the hub that the agent has left. Exits with the reason when it cannot. */
export async function obeyHub(): Promise<void> {
  if (process.geteuid?.() !== 0) fail(EXIT_USAGE, 'only root may do this: sudo agent3 console obey --hub');
  const environment = processEnvironment();
  const directory = environment['AGENT3_HUB_ORDERS_DIR'] || PATHS.hubOrders;
  const decisions = environment['AGENT3_APPROVALS_DIR'] || PATHS.approvals;
  const origin = decisions === PATHS.approvals ? addressOf(installedSettings()).origin : undefined;
  try {
    await obeyHubOrders({
      ...rootHere(undefined, decisions, origin),
      // The user of the agent owns it, so only what is signed is trusted.
      place: { console: dirname(directory), name: basename(directory), stranger: undefined, isUntrusted: true },
      answers: environment['AGENT3_CONSOLE_ANSWERS'] || CONSOLE_SETTINGS.AGENT3_CONSOLE_ANSWERS.schema.default,
      tell: (line) => void process.stdout.write(`${line}\n`),
    });
  } catch (error) {
    if (!(error instanceof ConsoleFault)) throw error;
    fail(EXIT_FAILURE, error.message);
  }
}

/** Obeys the order with this id on standard input, for an agent that is no service, and prints the result. */
export async function obeyHubMessage(id: string): Promise<void> {
  const decisions = processEnvironment()['AGENT3_APPROVALS_DIR'] || undefined;
  const message = Buffer.from(await Bun.stdin.text(), 'base64');
  const result = await obeyOne(rootHere(process.geteuid?.(), decisions, undefined), id, message);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function rootHere(own: number | undefined, decisions: string | undefined, origin: string | undefined): HubRootDeps {
  const hubFile = processEnvironment()['AGENT3_HUB_FILE'] || PATHS.hub;
  return { hubFile, own, actions: freezeActions(decisions, origin) };
}
