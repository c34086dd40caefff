import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { makeHubCertificate } from '../fleet/certificate.ts';
import { HUB_URL, inventoryPath, NAME, writeInventory } from '../fleet/inventory.ts';
import { fingerprintOf, SigningKey } from '../fleet/keys.ts';
import { connectOnce } from '../fleet/nats.ts';
import { configPath, writeInvites, writeNatsConfig, writeNatsSetup } from '../fleet/nats-files.ts';
import { writeRootsFile } from '../fleet/roots-file.ts';
import {
  ensureNatsServer,
  NATS_PID_FILE,
  natsGroup,
  restartAgent,
  setInstalledSettings,
  startNats,
} from '../install/fleet.ts';
import { readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { delay } from '../lib/clock.ts';
import { consoleHere, goodPasskeys } from './console-here.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import {
  attempt,
  certificatePath,
  type FleetOptions,
  fleetDirectory,
  isInstalledFleet,
  requireFleetOwner,
} from './fleet-here.ts';

interface InitOptions extends FleetOptions {
  readonly host?: string | undefined;
  readonly port: number;
  readonly listen: string;
  readonly name: string;
}

const CONNECT_TRIES = 50;
const PAUSE_MS = 200;

/** Makes keys, certificate, inventory and configuration, and for an installed agent starts NATS. */
export async function initFleet(options: InitOptions): Promise<void> {
  const directory = resolve(fleetDirectory(options));
  requireFleetOwner(directory, 'fleet init');
  if (existsSync(inventoryPath(directory)))
    fail(EXIT_FAILURE, `there is already a fleet in ${directory}. To see it: agent3 fleet list`);
  const host = options.host ?? readManifest(PATHS.manifest)?.domain ?? hostname();
  const { name, port, listen } = options;
  const url = `tls://${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (!new RegExp(HUB_URL).test(url))
    fail(EXIT_USAGE, `--host must be a name or an address, such as hub.example.org, not ${host}`);
  if (isIP(listen) !== 4 && listen !== '::')
    fail(EXIT_USAGE, '--listen must be an IPv4 address, or :: for all addresses');
  if (!new RegExp(NAME).test(name)) fail(EXIT_USAGE, 'a name has up to 63 lower-case letters, digits, . and -');
  const isInstalled = isInstalledFleet(directory);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  await attempt(async () => {
    if (isInstalled) say(ensureNatsServer(say));
    const key = SigningKey.create();
    makeFiles(directory, { isInstalled, host, listen, port });
    const local_url = `tls://${localAddress(listen)}:${port}`;
    const inventory = { version: 1 as const, hub: { name, key: key.publicKey, url, local_url }, servers: [] };
    writeInvites(directory, []);
    writeNatsConfig(directory, inventory);
    writeInventory(directory, inventory);
    const settings = { AGENT3_FLEET_DIR: directory, AGENT3_FLEET_KEY: key.seed };
    say(`hub ${name}, ${url}\nfingerprint ${fingerprintOf(key.publicKey)}`);
    if (!isInstalled) return byHand(directory, settings, say);
    setInstalledSettings(settings);
    startNats();
    await requireNats(directory, local_url, key);
    const waits = restartAgent();
    if (waits > 0)
      say(`The agent was not restarted, because commands run (${waits}). To make it the hub: systemctl restart agent3`);
    say(`NATS runs on port ${port}, which servers must be able to reach. Next: sudo agent3 fleet invite NAME`);
    if (goodPasskeys(consoleHere()) === undefined)
      say(
        'To approve on the servers at the console of this hub, link a passkey before you invite them: sudo agent3 console link',
      );
  });
}

/** Returns the address at which the hub reaches NATS. Its public name may lead through a router. */
function localAddress(listen: string): string {
  return ['0.0.0.0', '::'].includes(listen) ? '127.0.0.1' : listen;
}

interface Place {
  readonly isInstalled: boolean;
  readonly host: string;
  readonly listen: string;
  readonly port: number;
}

function makeFiles(directory: string, { isInstalled, host, listen, port }: Place): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  makeHubCertificate(directory, host, localAddress(listen));
  const privateKey = join(directory, 'key.pem');
  const group = isInstalled ? natsGroup() : null;
  chmodSync(privateKey, group === null ? 0o600 : 0o640);
  if (group !== null) chownSync(privateKey, 0, group);
  chmodSync(certificatePath(directory), 0o644);
  const pidFile = isInstalled ? NATS_PID_FILE : join(directory, 'nats.pid');
  writeNatsSetup(directory, { listen, port, certificate: certificatePath(directory), privateKey, pidFile, group });
}

/** Prints how to start NATS and an agent that is no service. The key is in no output and no process list. */
function byHand(directory: string, settings: Readonly<Record<string, string>>, say: (line: string) => void): void {
  const path = join(directory, 'hub.env');
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeRootsFile(path, lines.join(''), 0o600);
  say(`Start NATS: nats-server -c ${configPath(directory)}\nStart the agent with the settings in ${path}`);
}

async function requireNats(directory: string, url: string, key: SigningKey): Promise<void> {
  const certificate = readFileSync(certificatePath(directory), 'utf8');
  for (let tries = 0; ; tries++) {
    try {
      return await (await connectOnce({ url, certificate, key, name: 'agent3 fleet init' })).close();
    } catch (error) {
      if (tries === CONNECT_TRIES)
        fail(EXIT_FAILURE, `NATS does not answer on ${url}: ${String(error)}`, 'its log: journalctl -u agent3-nats');
      await delay(PAUSE_MS);
    }
  }
}
