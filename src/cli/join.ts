import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Command, Option } from '@commander-js/extra-typings';
import { Value } from '@sinclair/typebox/value';
import {
  describeList,
  hubPasskeysPath,
  orderedPath,
  readHubPasskeys,
  writeHubPasskeys,
} from '../fleet/hub-passkeys.ts';
import { HUB_URL } from '../fleet/inventory.ts';
import { InviteSecret, joinFleet, type Welcome } from '../fleet/join.ts';
import { listSchema, type NumberedList } from '../fleet/key-chain.ts';
import { fingerprintOf, parsePublicKey, SigningKey } from '../fleet/keys.ts';
import { type Membership, readMembership } from '../fleet/membership.ts';
import { writeRootsFile } from '../fleet/roots-file.ts';
import { disableHubOrders, enableHubOrders, restartAgent, setInstalledSettings } from '../install/fleet.ts';
import { installedSettings } from '../install/installed.ts';
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
  readonly passkeys?: true | undefined;
}

/** `agent3 join`. */
export function defineJoin(command: Command): void {
  command
    .argument('[url]', 'URL that agent3 fleet invite printed')
    .addOption(new Option('--profile <profile>', 'the most that the hub may do on this server').default('readonly'))
    .option(
      '--passkeys',
      "on a server that has joined: pin the passkeys of the hub's console, as fleet passkeys prints them",
    )
    .option(...FILE_OPTION)
    .addHelpText('after', JOIN_HELP)
    .action((url, options) => {
      if (options.passkeys === true) return pinPasskeys(options);
      return joinHub(url ?? fail(EXIT_USAGE, 'give the URL that agent3 fleet invite printed on the hub'), options);
    });
}

const JOIN_HELP = `
The command asks for the code, or reads it from standard input. Profiles, rules, approvals, freeze and the audit record
of this server apply to the hub as to every client. The command pins the passkeys of the hub's console: their owners may
approve commands on this server and thaw it.

Examples:
  sudo agent3 join tls://hub.example.org:4222/abcdefgh
  sudo agent3 join tls://hub.example.org:4222/abcdefgh --profile full < code
  sudo agent3 join --passkeys < passkeys`;

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
  process.stdout.write(describePinned(welcome.passkeys));
  if (isInstalled(file)) tellWhenNotRestarted(await attempt(restartAgent));
  else process.stdout.write(`Start the agent with the settings in ${envFile(file)}\n`);
}

/** What the passkeys of the hub mean here. */
function describePinned(list: NumberedList | undefined): string {
  if (list === undefined || list.passkeys.length === 0)
    return 'the console of the hub has no passkeys yet, so it approves nothing here. Later, on the hub: sudo agent3 fleet passkeys, and here: sudo agent3 join --passkeys\n';
  return `${describeList(list)}\nwho holds one of these may approve commands on this server and thaw it, from the console of the hub\n`;
}

/** `agent3 join --passkeys`: pins the list in the first line of standard input, when the second one says yes. */
async function pinPasskeys(options: JoinOptions): Promise<void> {
  const file = hubFile(options, 'join --passkeys');
  const membership = await attempt(() => readMembership(file));
  if (membership === undefined) fail(EXIT_FAILURE, 'this server has no hub: agent3 join URL pins the passkeys as well');
  const before = await attempt(() => readHubPasskeys(file));
  if (process.stdin.isTTY === true)
    process.stderr.write('Enter the line that sudo agent3 fleet passkeys prints on the hub: ');
  const lines = createInterface({ input: process.stdin, terminal: false })[Symbol.asyncIterator]();
  const list = parseList((await lines.next()).value);
  const old = before === undefined ? 'no list was pinned before' : `in place of number ${before.count}`;
  process.stdout.write(`number ${list.count}, ${old}\n${describePinned(list)}pin them? [y/N] `);
  const answer = String((await lines.next()).value ?? '').trim();
  process.stdout.write('\n');
  if (!/^y(es)?$/i.test(answer)) fail(EXIT_FAILURE, 'nothing was changed');
  await attempt(() => writeHubPasskeys(file, list));
  process.stdout.write(`pinned\n`);
  if (isInstalled(file)) await attempt(obeyFromNowOn);
  process.exit(0);
}

function parseList(line: string | undefined): NumberedList {
  try {
    const value: unknown = JSON.parse(line ?? '');
    if (Value.Check(listSchema, value)) return value;
  } catch {
    // It says below what it has to be.
  }
  fail(EXIT_USAGE, 'this is not a list of passkeys. Give the line that sudo agent3 fleet passkeys prints on the hub');
}

/** Has root obey the hub on a server that joined before there were orders. */
async function obeyFromNowOn(): Promise<void> {
  enableHubOrders();
  if (installedSettings()['AGENT3_HUB_ORDERS_DIR'] === PATHS.hubOrders) return;
  setInstalledSettings({ AGENT3_HUB_ORDERS_DIR: PATHS.hubOrders });
  tellWhenNotRestarted(restartAgent());
}

function tellWhenNotRestarted(waits: number): void {
  if (waits > 0)
    process.stdout.write(
      `The agent was not restarted, because commands run (${waits}). To apply the change: systemctl restart agent3\n`,
    );
}

/** Stores the pinned hub and the key, readable only by root. */
function keep(file: string, key: SigningKey, profile: string, { nonce: _, passkeys, ...pinned }: Welcome): void {
  const membership: Membership = { version: 1, ...pinned, key: key.publicKey, profile, joined_at: Date.now() };
  const settings = { AGENT3_HUB_FILE: file, AGENT3_HUB_KEY: key.seed };
  if (passkeys !== undefined) writeHubPasskeys(file, passkeys);
  if (isInstalled(file)) {
    enableHubOrders();
    setInstalledSettings({ ...settings, AGENT3_HUB_ORDERS_DIR: PATHS.hubOrders });
  } else {
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
  for (const other of [hubPasskeysPath(file), orderedPath(file)]) rmSync(other, { force: true });
  if (isInstalled(file)) {
    setInstalledSettings({ AGENT3_HUB_FILE: '', AGENT3_HUB_KEY: '', AGENT3_HUB_ORDERS_DIR: '' });
    disableHubOrders();
  } else rmSync(envFile(file), { force: true });
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
