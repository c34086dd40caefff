import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Command, Option } from '@commander-js/extra-typings';
import { HUB_URL } from '../fleet/inventory.ts';
import { InviteSecret, joinFleet, type Welcome } from '../fleet/join.ts';
import { fingerprintOf, parsePublicKey, SigningKey } from '../fleet/keys.ts';
import { type Membership, readMembership } from '../fleet/membership.ts';
import { writeRootsFile } from '../fleet/roots-file.ts';
import { restartAgent, setInstalledSettings } from '../install/fleet.ts';
import { PATHS } from '../install/layout.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { attempt } from './fleet-here.ts';
import { placeHere } from './here.ts';
import { requireProfile } from './token-here.ts';

const FILE_OPTION = [
  '--file <file>',
  'file that stores the hub (default: AGENT3_HUB_FILE, or that of the installed service)',
] as const;

interface JoinOptions {
  readonly profile: string;
  readonly file?: string | undefined;
}

/** `agent3 join`. */
export function defineJoin(command: Command): void {
  command
    .argument('<url>', 'URL that agent3 fleet invite printed')
    .addOption(new Option('--profile <profile>', 'the most that the hub may do on this server').default('readonly'))
    .option(...FILE_OPTION)
    .addHelpText('after', JOIN_HELP)
    .action(joinHub);
}

const JOIN_HELP = `
The command asks for the code, or reads it from standard input. Profiles, rules, approvals, freeze and the audit record
of this server apply to the hub as to every client.

Examples:
  sudo agent3 join tls://hub.example.org:4222/abcdefgh
  sudo agent3 join tls://hub.example.org:4222/abcdefgh --profile full < code`;

/** `agent3 leave`. */
export function defineLeave(command: Command): void {
  command
    .option(...FILE_OPTION)
    .addHelpText('after', LEAVE_HELP)
    .action(leaveHub);
}

const LEAVE_HELP = `
The hub loses access at once. Commands that it has started continue.

Examples:
  sudo agent3 leave`;

async function joinHub(url: string, options: JoinOptions): Promise<void> {
  const file = hubFile(options, 'join URL');
  const [, hub = '', id = ''] = /^(.+)\/([a-z2-7]{8})$/.exec(url) ?? [];
  if (!new RegExp(HUB_URL).test(hub))
    fail(EXIT_USAGE, 'give the URL that agent3 fleet invite printed: tls://HUB:4222/abcdefgh');
  const { name: profile } = requireProfile(options.profile);
  if (existsSync(file)) fail(EXIT_FAILURE, 'this server already has a hub. To leave it: sudo agent3 leave');
  const key = SigningKey.create();
  const code = await readCode();
  const welcome = await attempt(() => {
    const secret = new InviteSecret(id, code);
    return joinFleet(hub, secret, { key, profile }, (pinned) => keep(file, key, profile, pinned));
  });
  const hubKey = parsePublicKey(welcome.hub_key);
  process.stdout.write(
    `joined ${welcome.hub} as ${welcome.name}; the hub may use the profile ${profile}\nfingerprint of the hub  ${hubKey === undefined ? '' : fingerprintOf(hubKey)}\nfingerprint of this server  ${fingerprintOf(key.publicKey)}\n`,
  );
  if (!isInstalled(file)) {
    process.stdout.write(`Start the agent with the settings in ${envFile(file)}\n`);
    return;
  }
  const waits = await attempt(restartAgent);
  if (waits > 0)
    process.stdout.write(
      `${waits} commands run, so the agent was not restarted. To connect: systemctl restart agent3\n`,
    );
}

/** Stores the pinned hub and the key, readable only by root. */
function keep(file: string, key: SigningKey, profile: string, { nonce: _, ...pinned }: Welcome): void {
  const membership: Membership = { version: 1, ...pinned, key: key.publicKey, profile, joined_at: Date.now() };
  const settings = { AGENT3_HUB_FILE: file, AGENT3_HUB_KEY: key.seed };
  if (isInstalled(file)) setInstalledSettings(settings);
  else {
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    writeRootsFile(envFile(file), lines.join(''), 0o600);
  }
  writeRootsFile(file, `${JSON.stringify(membership, null, 2)}\n`);
}

async function leaveHub(options: Pick<JoinOptions, 'file'>): Promise<void> {
  const file = hubFile(options, 'leave');
  const membership = await attempt(() => readMembership(file));
  if (membership === undefined) fail(EXIT_FAILURE, 'this server has no hub');
  // The agent notices that the file is gone, and ends its connection.
  rmSync(file);
  if (isInstalled(file)) setInstalledSettings({ AGENT3_HUB_FILE: '', AGENT3_HUB_KEY: '' });
  else rmSync(envFile(file), { force: true });
  process.stdout.write(`left ${membership.hub}. On the hub, run: sudo agent3 fleet remove ${membership.name}\n`);
}

function hubFile({ file }: Pick<JoinOptions, 'file'>, command: string): string {
  const what = 'no agent is installed here: give the file with --file';
  const path = resolve(placeHere(file, 'AGENT3_HUB_FILE', PATHS.hub) ?? fail(EXIT_USAGE, what));
  if (isInstalled(path) && process.geteuid?.() !== 0) fail(EXIT_USAGE, `only root may do this: sudo agent3 ${command}`);
  return path;
}

function isInstalled(file: string): boolean {
  return file === PATHS.hub && existsSync(PATHS.manifest);
}

const envFile = (file: string): string => join(file, '..', 'server.env');

/** Reads the code from standard input: on the command line, the process list would show it. */
async function readCode(): Promise<string> {
  if (process.stdin.isTTY === true) process.stderr.write('code: ');
  const lines = createInterface({ input: process.stdin, terminal: false });
  for await (const line of lines) {
    lines.close();
    return line;
  }
  fail(EXIT_USAGE, 'standard input is empty: pass the code there');
}
