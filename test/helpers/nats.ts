import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeHubCertificate } from '../../src/fleet/certificate.ts';
import { type Inventory, writeInventory } from '../../src/fleet/inventory.ts';
import { SigningKey } from '../../src/fleet/keys.ts';
import { connectOnce, type NatsAddress } from '../../src/fleet/nats.ts';
import { type NatsPlace, natsConfig, type OpenInvite } from '../../src/fleet/nats-config.ts';
import { ensurePrograms } from './debian.ts';
import { makeDirectory } from './directories.ts';
import { freePort } from './ports.ts';
import { eventually } from './waiting.ts';

ensurePrograms('nats-server', 'openssl');

/** Debian's `nats-server` with the configuration of a fleet, in a directory of its own. */
export class TestNats implements AsyncDisposable {
  readonly directory = makeDirectory();
  readonly hub = SigningKey.create();
  readonly certificate = join(this.directory, 'cert.pem');
  readonly #keys = new Map<string, SigningKey>();
  inventory: Inventory;
  #child: Bun.Subprocess | undefined;
  readonly #place: NatsPlace;
  #invites: readonly OpenInvite[] = [];

  private constructor(port: number) {
    this.#place = {
      listen: '127.0.0.1',
      port,
      certificate: this.certificate,
      privateKey: join(this.directory, 'key.pem'),
      pidFile: join(this.directory, 'nats.pid'),
    };
    this.inventory = {
      version: 1,
      hub: { name: 'hub', key: this.hub.publicKey, url: `tls://127.0.0.1:${port}` },
      servers: [],
    };
  }

  /** Starts it for servers of these names. */
  static async start(...names: readonly string[]): Promise<TestNats> {
    const nats = new TestNats(await freePort());
    makeHubCertificate(nats.directory, '127.0.0.1');
    for (const name of names) nats.add(name);
    nats.write();
    await nats.run();
    return nats;
  }

  get url(): string {
    return this.inventory.hub.url;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  keyOf(name: string): SigningKey {
    const key = this.#keys.get(name);
    if (key === undefined) throw new Error(`there is no server ${name}`);
    return key;
  }

  add(name: string, profile = 'full'): SigningKey {
    const key = SigningKey.create();
    this.#keys.set(name, key);
    const record = { name, key: key.publicKey, labels: { role: 'web' }, profile, joined_at: Date.now() };
    this.inventory = { ...this.inventory, servers: [...this.inventory.servers, record] };
    return key;
  }

  remove(name: string): void {
    this.inventory = { ...this.inventory, servers: this.inventory.servers.filter((one) => one.name !== name) };
  }

  invite(...invites: readonly OpenInvite[]): void {
    this.#invites = invites;
  }

  /** Writes the inventory and the configuration, as root's commands do; `maxPayload` is for a NATS that was taken over. */
  write(maxPayload?: number): void {
    writeInventory(this.directory, this.inventory);
    const config = natsConfig(this.inventory, this.#place, this.#invites);
    const changed =
      maxPayload === undefined ? config : config.replace(/max_payload: \d+/, `max_payload: ${maxPayload}`);
    writeFileSync(join(this.directory, 'nats.conf'), changed);
  }

  reload(): void {
    this.write();
    process.kill(this.pid, 'SIGHUP');
  }

  async run(): Promise<void> {
    const child = Bun.spawn(['nats-server', '-c', 'nats.conf'], {
      cwd: this.directory,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    this.#child = child;
    await eventually('nats-server listens', async () => {
      const connection = await connectOnce(this.address(this.hub), 1000).catch(() => undefined);
      await connection?.close();
      return connection !== undefined;
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#child?.exited;
  }

  address(key: SigningKey): NatsAddress {
    return { url: this.url, certificate: readPem(this.certificate), key, name: 'test' };
  }

  /** The settings of the hub's agent. */
  get hubSettings(): Record<string, string> {
    return { AGENT3_FLEET_DIR: this.directory, AGENT3_FLEET_KEY: this.hub.seed };
  }

  /** The settings of a server's agent, whose membership is written into this directory. */
  serverSettings(
    name: string,
    profile = 'full',
    changes: Readonly<Record<string, unknown>> = {},
  ): Record<string, string> {
    const key = this.keyOf(name);
    const path = join(this.directory, `${name}.json`);
    const membership = {
      version: 1,
      url: this.url,
      certificate: readPem(this.certificate),
      hub_key: this.hub.publicKey,
      hub: 'hub',
      name,
      key: key.publicKey,
      profile,
      joined_at: Date.now(),
      ...changes,
    };
    writeFileSync(path, JSON.stringify(membership), { mode: 0o644 });
    return { AGENT3_HUB_FILE: path, AGENT3_HUB_KEY: key.seed };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function readPem(path: string): string {
  return readFileSync(path, 'utf8');
}
