import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { consoleTunnel } from '../install/console-settings.ts';
import { type Installed, install } from '../install/install.ts';
import { PACKAGED_BINARY, PATHS } from '../install/layout.ts';
import { describeMemoryLimits, InstallFault, limitsFor, readText } from '../install/machine.ts';
import { describeInstalled, lookAtInstalled } from '../install/service.ts';
import { uninstall } from '../install/uninstall.ts';
import { describeRefusal, errnoOf } from '../lib/errors.ts';
import { visibleJson } from '../lib/visible.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { numberOption } from './number-option.ts';

/** `agent3 install`. */
export function defineInstall(command: Command): void {
  command
    .option(
      '--user <name>',
      'user of the agent and its commands; root for full administration (default: a new user, agent3)',
    )
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <number>', 'port to listen on (default: 5000)', parsePort)
    .option('--token <token>', 'token that clients send; "-" reads it from standard input (default: a new one)')
    .option('--domain <name>', 'serve HTTPS under this name, through Caddy, which must be installed')
    .option('--no-domain', 'remove the name from Caddy')
    .option('--watchdog', 'install the check every 5 minutes (default)')
    .option('--no-watchdog', 'leave out the check every 5 minutes, also in upgrades')
    .option('--console', "install the owner's console (default)")
    .option('--no-console', "leave out the owner's console, also in upgrades")
    .option(
      '--console-domain <name>',
      'serve the console under a name of its own, through Caddy (default: port 8443 of --domain)',
    )
    .option('--no-console-domain', 'remove that name from Caddy')
    .option('--look-logs', "let commands of the agent's own user read the logs of this machine")
    .option('--no-look-logs', 'forbid that')
    .option('--no-start', 'install everything, but start nothing')
    .option('--dry-run', 'print every file and command, but change nothing')
    .option('--root <directory>', 'install into this directory, to build an image', '/')
    .option('--binary <file>', 'executable to install (default: this one)')
    .addHelpText('after', EXAMPLES)
    .action(({ dryRun, ...given }) =>
      runInstaller(async () => {
        const binary = resolve(given.binary ?? process.execPath);
        if (!existsSync(binary)) fail(EXIT_USAGE, `--binary: ${binary} does not exist`);
        if (given.host === '') fail(EXIT_USAGE, '--host needs an address');
        const installed = await install(
          {
            ...given,
            token: given.token === '-' ? readFileSync(0, 'utf8').split('\n')[0]?.trim() : given.token,
            dryRun: dryRun === true,
            root: resolveRoot(given.root),
            binary,
            // Where a package puts it: its other files are the package's as well.
            packaged: process.execPath === PACKAGED_BINARY,
          },
          writeLine,
        );
        writeLine(reportOf(installed));
      }),
    );
}

const EXAMPLES = `
Examples:
  sudo ./agent3 install                               as user agent3, on 127.0.0.1:5000
  sudo ./agent3 install --user root --domain agent.example.org
  sudo agent3 install --port 5001                     changes the port of what is installed`;

const parsePort = numberOption(/^\d+$/, 1, 65_535, 'It must be a number from 1 to 65535.');

/** The directory that `--root` names. */
export function resolveRoot(root: string): string {
  if (root === '') fail(EXIT_USAGE, '--root needs a directory');
  return resolve(root);
}

/** Runs a task of the installer and exits: with 1 and the reason when it fails. */
export async function runInstaller(work: () => Promise<void> | void): Promise<never> {
  try {
    await work();
  } catch (error) {
    fail(EXIT_FAILURE, describeFault(error));
  }
  process.exit(0);
}

/** Prints a line of progress. */
export function writeLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Describes a system error with its file. */
function describeFault(error: unknown): string {
  if (error instanceof InstallFault) return error.message;
  if (errnoOf(error) === undefined) throw error;
  return `${describeRefusal(error)}; nothing was changed`;
}

/** `agent3 status`. */
export function defineStatus(command: Command): void {
  command
    .option('--json', 'print JSON (null when nothing is installed)')
    .option('--root <directory>', 'show what is installed in this directory', '/')
    .addHelpText('after', '\nExit code: 0 installed and answers, 1 not installed or no answer. Run it as root.')
    .action(({ json, root }) => runInstaller(() => printStatus(resolveRoot(root), json === true)));
}

const NOT_INSTALLED = 'Agent3 is not installed. To install it: agent3 install';

async function printStatus(root: string, asJson: boolean): Promise<void> {
  const installed = await lookAtInstalled(root);
  if (asJson) writeLine(visibleJson(installed ?? null));
  else writeLine(installed === undefined ? NOT_INSTALLED : describeInstalled(installed));
  if (installed === undefined || installed.service?.answers === null) process.exit(EXIT_FAILURE);
}

/** `agent3 uninstall`. */
export function defineUninstall(command: Command): void {
  command
    .option('--purge', 'also remove settings, sessions, logs and the user')
    .option('--dry-run', 'print what would be removed, but change nothing')
    .option('--root <directory>', 'remove what is installed in this directory', '/')
    .action(({ purge = false, dryRun = false, root }) =>
      runInstaller(() => {
        const count = uninstall({ purge, dryRun, root: resolveRoot(root) }, writeLine);
        writeLine(count === 0 ? nothingToRemove() : describeEnd(purge, dryRun, root));
      }),
    );
}

function nothingToRemove(): string {
  if (process.execPath === PACKAGED_BINARY)
    return 'The service was already removed. To remove the package: apt purge agent3';
  return 'Nothing to remove: Agent3 is not installed.';
}

function describeEnd(purge: boolean, dryRun: boolean, root: string): string {
  if (dryRun) return 'Nothing was changed. The list shows what would be done.';
  if (root === '/' && process.execPath === PACKAGED_BINARY)
    return 'The service is removed. The package, settings, sessions and logs are kept. To remove them all: apt purge agent3';
  return purge
    ? 'Agent3 is removed, with its settings, sessions and logs.'
    : 'Agent3 is removed. Settings, sessions and logs are kept. To remove them too, in the directory of the bundle: ./agent3 uninstall --purge';
}

const TITLES: Readonly<Record<Installed['kind'], string>> = {
  installed: 'Agent3 is installed and answers.',
  upgraded: 'The installation was changed, and Agent3 answers.',
  unchanged: 'Nothing to change: Agent3 is installed and answers.',
  planned: 'Nothing was changed. The list shows what would be done.',
  nothing: 'Nothing to change: Agent3 is installed.',
  staged: 'Agent3 is installed in the image, and starts when the image boots.',
};

/** Returns the report for the owner after an installation: what happened, what to enter where, where everything is. */
function reportOf({ kind, url, token, started, notes, manifest, before }: Installed): string {
  const title =
    started || kind === 'planned' || kind === 'nothing' || kind === 'staged'
      ? titleOf(kind, before, manifest.version)
      : 'Agent3 is installed; start it with: systemctl start agent3';
  const lines = [title, '', ...notes.map((note) => `Note: ${note}`), ...(notes.length > 0 ? [''] : [])];
  if (kind === 'planned' || kind === 'nothing') return lines.join('\n');
  if (manifest.user === 'root') {
    lines.push('WARNING: the agent runs as root. Anyone with the token can do anything on this machine.', '');
  }
  lines.push(
    `  URL       ${url}`,
    '  Header    X-Auth-Token',
    token === undefined
      ? `  Token     in ${PATHS.settings}`
      : `  Token     ${token}\n            (shown only once; kept in ${PATHS.settings})`,
  );
  if (kind === 'installed') lines.push(`  Commands  ${describeCommandLimits()}`);
  if (manifest.console) lines.push(...consoleLines(manifest.console));
  lines.push(
    '',
    url.startsWith('https://')
      ? 'ChatGPT, Claude and others sign in:  agent3 connect'
      : 'ChatGPT and Claude need HTTPS and a public name:  agent3 install --domain NAME',
  );
  if (kind === 'staged') lines.push('', ...STAGED);
  if (kind === 'installed') lines.push('', ...tryIt(url), '', HINTS);
  return lines.join('\n');
}

function consoleLines(url: string): string[] {
  const link = 'to add a passkey: agent3 console link';
  const tunnel = consoleTunnel(url);
  if (tunnel === undefined) return [`  Console   ${url} (${link})`];
  return [
    `  Console   ${url}, on your computer, while this runs there:`,
    `            ${tunnel}`,
    `            (${link})`,
  ];
}

/** Describes what commands may use, as far as the kernel can limit it. */
function describeCommandLimits(): string {
  if (/\bmemory\b/.test(readText('/sys/fs/cgroup/cgroup.controllers') ?? ''))
    return describeMemoryLimits(limitsFor().commandsMemoryMib * 1_048_576);
  return 'without limits: this machine has no cgroup controllers (agent3 doctor)';
}

function titleOf(kind: Installed['kind'], before: string | undefined, now: string): string {
  if (kind !== 'upgraded' || before === undefined || before === now) return TITLES[kind];
  return `Agent3 was upgraded from ${before} to ${now}, and answers.`;
}

/** Returns a first call that can be pasted as it is. It does not show the token. */
function tryIt(url: string): string[] {
  return [
    'Try it, as root:',
    `  . ${PATHS.settings}`,
    `  curl -s ${url} -H "X-Auth-Token: $AGENT3_API_TOKEN" -d '{"op":"shell","args":{"cmd":"uptime"}}'`,
  ];
}

/** Notes about an image, which has a token and limits of the machine that made it. */
const STAGED = [
  'Note: the token above is part of the image, and agent3 install on the new machine keeps it. To replace it there:',
  '      agent3 token new | agent3 install --token -',
  'Note: clients can sign in (agent3 connect) only after agent3 install has run on the new machine and made a key.',
  'Note: the resource limits are those of this machine. agent3 install on the new machine sets its own.',
];

const HINTS = `  agent3 doctor                            check the installation
  systemctl status agent3                  show the state of the service
  systemctl restart agent3                 apply changed settings
  journalctl -u agent3 -n 20               show why it does not start
  tail -n 20 /var/log/agent3/watchdog.log  the watchdog's checks, every 5 minutes
  /etc/agent3/agent3.env                   settings
  /var/log/agent3/                         logs
  /var/lib/agent3/sessions                 sessions`;
