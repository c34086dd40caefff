import { existsSync } from 'node:fs';
import { consoleSetting } from '../console/config.ts';
import { ConsoleFault } from '../console/fault.ts';
import { type PasskeysFile, readPasskeys, writePasskeys } from '../console/passkeys.ts';
import { installedConsoleSettings } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { describeErrno } from '../lib/errors.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** The console: from the environment, or the installed one. */
export interface ConsoleHere {
  readonly directory: string;
  readonly answers: string;
  readonly passkeysFile: string;
  /** Undefined when the settings have none, or only root may read them. */
  readonly origin: string | undefined;
  /** True for the installed console, false for that of an agent that was started by hand. */
  readonly isInstalled: boolean;
}

export function consoleHere(): ConsoleHere {
  const environment = processEnvironment();
  const isByHand = Boolean(environment['AGENT3_CONSOLE_DIR']);
  const settings = isByHand ? environment : { ...environment, ...installedConsoleSettings() };
  const origin = settings['AGENT3_CONSOLE_ORIGIN'];
  return {
    directory: settings['AGENT3_CONSOLE_DIR'] || PATHS.console,
    answers: consoleSetting(settings, 'AGENT3_CONSOLE_ANSWERS') ?? '',
    passkeysFile: consoleSetting(settings, 'AGENT3_PASSKEYS_FILE') ?? '',
    origin: origin && URL.canParse(origin) ? new URL(origin).origin : undefined,
    isInstalled: !isByHand && existsSync(PATHS.manifest),
  };
}

/** Exits unless this user may pin passkeys: root, or the user of an agent that was started by hand. */
export function requireOwner(verb: string): void {
  if (process.geteuid?.() === 0 || processEnvironment()['AGENT3_PASSKEYS_FILE']) return;
  fail(EXIT_USAGE, `only root may do this: sudo agent3 console ${verb}`);
}

/** Returns the pinned passkeys; undefined without any. Exits with the reason when the file cannot be used. */
export function pinnedHere({ passkeysFile }: ConsoleHere): PasskeysFile | undefined {
  try {
    return readPasskeys(passkeysFile, process.geteuid?.());
  } catch (error) {
    if (error instanceof ConsoleFault)
      fail(EXIT_FAILURE, `${error.message}. Correct that, or remove the file and link again: sudo agent3 console link`);
    throw error;
  }
}

/** The pinned passkeys that are good at this console; undefined without any, and where they are for another URL. */
export function goodPasskeys(here: ConsoleHere): PasskeysFile | undefined {
  const file = pinnedHere(here);
  const isElsewhere = here.origin !== undefined && file?.origin !== here.origin;
  return file === undefined || file.passkeys.length === 0 || isElsewhere ? undefined : file;
}

/** Exits with the reason when the file cannot be written. */
export function pinHere({ passkeysFile }: ConsoleHere, file: PasskeysFile): void {
  try {
    writePasskeys(passkeysFile, file);
  } catch (error) {
    fail(EXIT_FAILURE, `${passkeysFile} cannot be written: ${describeErrno(error)}`);
  }
}
