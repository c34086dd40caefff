import { readFileSync } from 'node:fs';
import {
  changeInventory,
  type Inventory,
  inventoryPath,
  MOST_SERVERS,
  NAME,
  readInventory,
  withLabels,
} from '../fleet/inventory.ts';
import { type Hello, INVITE_MS, InviteHost, InviteSecret, JoinFault, type Welcome } from '../fleet/join.ts';
import { fingerprintOf, parsePublicKey, SigningKey } from '../fleet/keys.ts';
import { connectOnce, type NatsConnection } from '../fleet/nats.ts';
import { type KeptInvite, openInvites, reloadNats, writeInvites, writeNatsConfig } from '../fleet/nats-files.ts';
import { FleetFileFault, whileLocked } from '../fleet/roots-file.ts';
import { delay } from '../lib/clock.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import {
  attempt,
  certificatePath,
  type FleetOptions,
  fleetDirectory,
  inventoryHere,
  requireFleetOwner,
} from './fleet-here.ts';
import { describeUnsigned, keysForServers } from './fleet-keys.ts';

interface InviteOptions extends FleetOptions {
  readonly label?: readonly string[] | undefined;
  readonly json?: true | undefined;
}

const CONNECT_TRIES = 50;
const PAUSE_MS = 200;
/** Time in which a server that was added pins the hub. */
const CONFIRM_MS = 30_000;

/** Prints the command and the code for the server, and waits until it has joined. */
export async function inviteServer(name: string, options: InviteOptions): Promise<void> {
  const directory = fleetDirectory(options);
  requireFleetOwner(directory, `fleet invite ${name}`);
  if (!new RegExp(NAME).test(name)) fail(EXIT_USAGE, 'a name has up to 63 lower-case letters, digits, . and -');
  const labels = await attempt(() => withLabels({}, options.label ?? []));
  const inventory = await inventoryHere(directory);
  requireFree(inventory, name);
  const known = await attempt(() => keysForServers(directory));
  const passkeys = known && { ...known.list, passkeys: [...known.list.passkeys] };
  if (known?.isBehind === true) process.stderr.write(`agent3: ${describeUnsigned(known)}\n`);
  const { secret, code } = InviteSecret.create();
  const host = SigningKey.create();
  const until = Date.now() + INVITE_MS;
  const kept = { id: secret.id, name, guestKey: secret.guest.publicKey, hostKey: host.publicKey, until };
  const end = (): void => setInvites(directory, (invites) => invites.filter(({ id }) => id !== secret.id));
  await attempt(() => setInvites(directory, (invites) => [...invites, kept]));
  // The code ends with the program.
  process.on('exit', end);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(EXIT_FAILURE));
  const certificate = readFileSync(certificatePath(directory), 'utf8');
  const take = (hello: Hello): Omit<Welcome, 'nonce'> => {
    const { hub } = takeIn(directory, name, labels, hello);
    return { hub: hub.name, hub_key: hub.key, url: hub.url, certificate, name, ...(passkeys && { passkeys }) };
  };
  const outcome = await attempt(async () => {
    await using waiting = await InviteHost.open(await connected(inventory, certificate, host), secret, take);
    show(options, inventory, secret.id, code, until);
    return await comeOrOver(waiting, until);
  });
  if (outcome === undefined)
    fail(EXIT_FAILURE, 'no server joined within 10 minutes. For a new code, run the command again');
  const { hello, isConfirmed } = outcome;
  const key = parsePublicKey(hello.key);
  const fingerprint = key === undefined ? '' : fingerprintOf(key);
  report(
    options,
    { event: 'joined', name, fingerprint, profile: hello.profile },
    `${name} has joined, with the profile ${hello.profile} for this hub\nfingerprint ${fingerprint}`,
  );
  if (!isConfirmed)
    fail(EXIT_FAILURE, `${name} has not confirmed the hub's key. If it does not connect: agent3 fleet remove ${name}`);
  process.exit(0);
}

function requireFree({ hub, servers }: Inventory, name: string): void {
  if (hub.name === name) fail(EXIT_FAILURE, `${name} is the name of the hub itself. Choose another`);
  if (servers.some((server) => server.name === name))
    fail(
      EXIT_FAILURE,
      `the server ${name} exists already. Choose another name, or remove it: agent3 fleet remove ${name}`,
    );
  if (servers.length >= MOST_SERVERS) fail(EXIT_FAILURE, `a fleet has at most ${MOST_SERVERS} servers`);
}

/** Changes the open invitations, and lets NATS know. */
function setInvites(directory: string, change: (invites: KeptInvite[]) => KeptInvite[]): void {
  whileLocked(inventoryPath(directory), () => {
    writeInvites(directory, change(openInvites(directory)));
    writeNatsConfig(directory, readInventory(directory));
  });
  reloadNats(directory);
}

/** Adds a server to the inventory. Throws `FleetFileFault`. */
function takeIn(directory: string, name: string, labels: Record<string, string>, { key, profile }: Hello): Inventory {
  const inventory = changeInventory(directory, (before) => {
    if (before.servers.some((server) => server.name === name))
      throw new FleetFileFault(`a server ${name} was added meanwhile`);
    return { ...before, servers: [...before.servers, { name, key, labels, profile, joined_at: Date.now() }] };
  });
  whileLocked(inventoryPath(directory), () => writeNatsConfig(directory, readInventory(directory)));
  reloadNats(directory);
  return inventory;
}

/** Connects to NATS, which takes a moment to load an invitation. */
async function connected({ hub }: Inventory, certificate: string, key: SigningKey): Promise<NatsConnection> {
  const url = hub.local_url ?? hub.url;
  for (let tries = 0; ; tries++) {
    try {
      return await connectOnce({ url, certificate, key, name: 'agent3 fleet invite' });
    } catch (error) {
      if (tries === CONNECT_TRIES) throw new JoinFault(`NATS cannot be reached at ${url}: ${String(error)}`);
      await delay(PAUSE_MS);
    }
  }
}

async function comeOrOver(
  waiting: InviteHost,
  until: number,
): Promise<{ readonly hello: Hello; readonly isConfirmed: boolean } | undefined> {
  const over = new Promise<undefined>((resolve) => setTimeout(resolve, until - Date.now()));
  const hello = await Promise.race([waiting.joined, over]);
  if (hello === undefined) return undefined;
  const isConfirmed = await Promise.race([waiting.confirmed.then(() => true), delay(CONFIRM_MS).then(() => false)]);
  return { hello, isConfirmed };
}

function show(options: InviteOptions, { hub }: Inventory, id: string, code: string, until: number): void {
  const url = `${hub.url}/${id}`;
  report(
    options,
    { event: 'code', url, code, expires: new Date(until).toISOString() },
    `On the server, run as root (for an agent started by hand, add --file FILE):\n\n  agent3 join ${url}\n\nWithout more, the hub may only read there. For all that the agent may do, add --profile full.\n\nThere, enter this code. It works once, within 10 minutes:\n\n  ${code}\n\nWaiting for the server (Ctrl-C cancels the invitation) …`,
  );
}

/** Prints an event as a line of JSON, or as text. */
function report({ json }: InviteOptions, event: Readonly<Record<string, unknown>>, words: string): void {
  process.stdout.write(json === true ? `${JSON.stringify(event)}\n` : `${words}\n`);
}
