import { parseEnvFile } from '../../ops/env-file.ts';
import { runCommand } from '../../ops/watchdog/command.ts';
import { pageFiles } from '../console/page-files.ts';
import { newToken } from '../lib/token.ts';
import type { Changes } from './changes.ts';
import { consoleSettings, pinnedPasskeys } from './console-settings.ts';
import { sha256 } from './installed.ts';
import { hasConsole } from './inventory.ts';
import { CONSOLE_SERVICES, CONSOLE_UNITS, PATHS } from './layout.ts';
import { readText, unitIs } from './machine.ts';
import { isStaged, type Situation } from './survey.ts';

/** Writes its settings. Warns first when passkeys belong to another URL. */
export function putConsoleSettings(situation: Situation): void {
  const { options, changes, manifest, input, notes, print } = situation;
  const there = readText(changes.at(PATHS.consoleSettings));
  const text = consoleSettings(there, {
    url: input.console ?? '',
    before: manifest?.console,
    asked: [options.domain, options.consoleDomain].some((asked) => asked !== undefined),
    // A key in an image would be the same for every machine made from it.
    key: () => (isStaged(options) ? '' : newToken()),
  });
  const origin = parseEnvFile(text)['AGENT3_CONSOLE_ORIGIN'];
  const pinned = pinnedPasskeys(changes.at(PATHS.passkeys));
  if (pinned?.count && pinned.origin !== origin) {
    const what = `the console moves from ${pinned.origin} to ${origin}, where its passkeys (${pinned.count}) no longer work. To pin new ones: agent3 console link`;
    print(what);
    notes.push(what);
  }
  changes.file(
    PATHS.consoleSettings,
    text,
    { mode: 0o600 },
    text.replace(/^(AGENT3_CONSOLE_KEY=).+$/m, '$1(a secret)'),
  );
}

/**
 * Writes the files of the page, which are in the executable. Replaces changed ones, because the page shows what is signed.
 * Returns each path with its SHA-256, for the manifest.
 */
export function putPage(changes: Changes): Record<string, string> {
  const sums: Record<string, string> = {};
  for (const [name, { bytes }] of Object.entries(pageFiles())) {
    const path = `${PATHS.page}/${name}`;
    changes.file(path, bytes, { mode: 0o644 }, `(${bytes.length} bytes)`);
    sums[path] = sha256(bytes);
  }
  return sums;
}

/** Enables and starts the units of the console. A running console ends, and starts again with the new files. */
export function startConsole({ options, changes, input }: Situation, changed: boolean): void {
  if (!hasConsole(input)) return;
  if (!CONSOLE_UNITS.every((unit) => unitIs('enabled', unit))) {
    changes.command(
      ['systemctl', 'enable', '--quiet', ...CONSOLE_UNITS],
      () => void runCommand(['systemctl', 'disable', '--quiet', '--now', ...CONSOLE_UNITS]),
    );
  }
  if (!options.start || (!changed && CONSOLE_UNITS.every((unit) => unitIs('active', unit)))) return;
  // With the units that start them: a page that is open would start the services again while they are stopped.
  changes.command(['systemctl', 'stop', ...CONSOLE_UNITS, ...CONSOLE_SERVICES]);
  changes.command(['systemctl', 'start', ...CONSOLE_UNITS], () => void stopConsole());
}

/** Disables the units, while their files exist. */
export function leaveConsole(changes: Changes): void {
  changes.command(['systemctl', 'disable', '--quiet', '--now', ...CONSOLE_UNITS], () => {
    runCommand(['systemctl', 'daemon-reload']);
    runCommand(['systemctl', 'enable', '--quiet', '--now', ...CONSOLE_UNITS]);
  });
  changes.command(['systemctl', 'stop', ...CONSOLE_SERVICES]);
}

/** Stops all units of the console. */
export function stopConsole(): void {
  runCommand(['systemctl', 'stop', ...CONSOLE_UNITS, ...CONSOLE_SERVICES]);
}
