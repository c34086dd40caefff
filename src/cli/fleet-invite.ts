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

interface InviteOptions extends FleetOptions {
  readonly label?: readonly string[] | undefined;
  readonly json?: true | undefined;
}

const CONNECT_TRIES = 50;
const PAUSE_MS = 200;
/** So long after a server was taken in, it has pinned the hub. */
const CONFIRM_MS = 30_000;

/** Prints what to run on the server and a code, and waits until a server has joined with it. */
export async function inviteServer(name: string, options: InviteOptions): Promise<void> {
  const directory = fleetDirectory(options);
  requireFleetOwner(directory, `fleet invite ${name}`);
  if (!new RegExp(NAME).test(name)) fail(EXIT_USAGE, 'a name has up to 63 small letters, digits, . and -');
  const labels = await attempt(() => withLabels({}, options.label ?? []));
  const inventory = await inventoryHere(directory);
  requireFree(inventory, name);
  const { secret, code } = InviteSecret.create();
  const host = SigningKey.create();
  const until = Date.now() + INVITE_MS;
  const kept = { id: secret.id, name, guestKey: secret.guest.publicKey, hostKey: host.publicKey, until };
  const end = (): void => setInvites(directory, (invites) => invites.filter(({ id }) => id !== secret.id));
  await attempt(() => setInvites(directory, (invites) => [...invites, kept]));
  // Whatever ends the program, the code is over.
  process.on('exit', end);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(EXIT_FAILURE));
  const certificate = readFileSync(certificatePath(directory), 'utf8');
  const take = (hello: Hello): Omit<Welcome, 'nonce'> => {
    const { hub } = takeIn(directory, name, labels, hello);
    return { hub: hub.name, hub_key: hub.key, url: hub.url, certificate, name };
  };
  const outcome = await attempt(async () => {
    await using waiting = await InviteHost.open(await connected(inventory, certificate, host), secret, take);
    show(options, inventory, secret.id, code, until);
    return await comeOrOver(waiting, until);
  });
  if (outcome === undefined) fail(EXIT_FAILURE, 'nobody has joined within ten minutes. For a new code, run it again');
  const { hello, isConfirmed } = outcome;
  const key = parsePublicKey(hello.key);
  const fingerprint = key === undefined ? '' : fingerprintOf(key);
  report(
    options,
    { event: 'joined', name, fingerprint, profile: hello.profile },
    `${name} has joined, with the profile ${hello.profile} for this hub\nfingerprint ${fingerprint}`,
  );
  if (!isConfirmed)
    fail(
      EXIT_FAILURE,
      `${name} has not said that it has kept the hub's key. If it does not connect: agent3 fleet remove ${name}`,
    );
  process.exit(0);
}

function requireFree({ hub, servers }: Inventory, name: string): void {
  if (hub.name === name) fail(EXIT_FAILURE, `${name} is the name of the hub itself; choose another`);
  if (servers.some((server) => server.name === name))
    fail(EXIT_FAILURE, `there is a server ${name}; choose another name, or: agent3 fleet remove ${name}`);
  if (servers.length >= MOST_SERVERS) fail(EXIT_FAILURE, `a fleet has at most ${MOST_SERVERS} servers`);
}

/** Changes the invitations that wait, and has NATS know of it. */
function setInvites(directory: string, change: (invites: KeptInvite[]) => KeptInvite[]): void {
  whileLocked(inventoryPath(directory), () => {
    writeInvites(directory, change(openInvites(directory)));
    writeNatsConfig(directory, readInventory(directory));
  });
  reloadNats(directory);
}

/** Takes a server into the inventory. Throws `FleetFileFault`. */
function takeIn(directory: string, name: string, labels: Record<string, string>, { key, profile }: Hello): Inventory {
  const inventory = changeInventory(directory, (before) => {
    if (before.servers.some((server) => server.name === name))
      throw new FleetFileFault(`there is a server ${name} by now`);
    return { ...before, servers: [...before.servers, { name, key, labels, profile, joined_at: Date.now() }] };
  });
  whileLocked(inventoryPath(directory), () => writeNatsConfig(directory, readInventory(directory)));
  reloadNats(directory);
  return inventory;
}

/** NATS knows the invitation a moment after it was told. */
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
    `on the server, as root (started by hand: with --file FILE):\n\n  agent3 join ${url}\n\nand enter this code there, which is good once, for ten minutes:\n\n  ${code}\n\nwaiting for it (Ctrl-C ends the invitation) …`,
  );
}

/** A line of JSON, or words. */
function report({ json }: InviteOptions, event: Readonly<Record<string, unknown>>, words: string): void {
  process.stdout.write(json === true ? `${JSON.stringify(event)}\n` : `${words}\n`);
}
