import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './debian.ts';
import { TemporaryDirectory } from './directories.ts';
import { type Relayed, relayTo } from './relay.ts';
import { eventually } from './waiting.ts';

/** Programs that it needs, and their packages. */
export const NETWORK_PROGRAMS = ['ip', 'unshare', 'nsenter', 'openssl'] as const;

/** A public address that lies in this network alone. */
const PUBLIC = '11.0.0.1';

/** Addresses that names lead to: the first of them is public, the others must never be asked. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'good.example': [PUBLIC],
  'loopback.example': ['127.0.0.1'],
  'other-loopback.example': ['127.8.8.8'],
  'metadata.example': ['169.254.169.254'],
  'six.example': ['::1'],
  'mapped.example': ['::ffff:127.0.0.1'],
  'private.example': ['10.0.0.1'],
  'home.example': ['192.168.7.7'],
  'carrier.example': ['100.64.0.1'],
  'local-six.example': ['fd00::1'],
  'any.example': ['0.0.0.0'],
  'both.example': [PUBLIC, '127.0.0.1'],
  'files.oaiusercontent.com': [PUBLIC],
  'inside.oaiusercontent.com': ['10.0.0.1'],
  'self.oaiusercontent.com': ['127.0.0.1'],
  'files.oaiusercontent.com.example': [PUBLIC],
  'filesoaiusercontent.com': [PUBLIC],
  'page.web-sandbox.oaiusercontent.com': [PUBLIC],
  'fcm.googleapis.com': [PUBLIC],
  'inside.push.apple.com': ['10.0.0.1'],
  'self.push.apple.com': ['127.0.0.1'],
  'six.push.apple.com': ['::1'],
  'metadata.notify.windows.com': ['169.254.169.254'],
  'both.notify.windows.com': [PUBLIC, '127.0.0.1'],
};

/** Before the line of something that was sent by POST. */
export const PUSHED = 'pushed ';

export interface Pushed {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly base64: string;
}

const INSIDE = [...new Set(Object.values(NAMES).flat())].filter((address) => !['0.0.0.0', '::1'].includes(address));

/**
 * A network of its own that has no way out, with names and addresses in it that look like the internet's, and a server
 * at every address. Needs root. An agent is in it with `before`, and is reached from here at its port all the same.
 */
export class SmallInternet implements AsyncDisposable {
  readonly #files = new TemporaryDirectory();
  readonly #server: Bun.Subprocess<'ignore', 'pipe', 'inherit'>;
  readonly #door: Bun.TCPSocketListener<Relayed>;
  #said = '';

  private constructor(readonly port: number) {
    const at = (name: string) => this.#files.join(name);
    const names = Object.keys(NAMES);
    makeAuthority(this.#files, names);
    const hosts = Object.entries(NAMES).flatMap(([name, all]) => all.map((address) => `${address} ${name}`));
    writeFileSync(at('hosts'), `127.0.0.1 localhost\n${hosts.join('\n')}\n`);
    const own = INSIDE.filter((address) => !address.startsWith('127.') && !address.startsWith('::ffff'));
    const begin = [
      'ip link set lo up',
      // Until the kernel has looked whether another machine has it, nobody can listen at an address of IPv6.
      ...own.map((address) => `ip addr add ${address}${address.includes(':') ? '/128 dev lo nodad' : '/32 dev lo'}`),
      'while ip -6 addr show dev lo tentative | grep -q inet6; do sleep 0.05; done',
      `mount --bind ${at('hosts')} /etc/hosts`,
      'exec "$@"',
    ].join(' && ');
    const listensAt = [...own, '127.0.0.1', '127.8.8.8', '::1'];
    const serve = join(import.meta.dir, 'document-server.ts');
    const args = [at('host.pem'), at('host.key'), at('socket'), String(port), ...listensAt];
    this.#server = Bun.spawn(
      [
        ...['unshare', '--net', '--mount', '--propagation', 'private', 'sh', '-c', begin, 'sh'],
        ...[process.execPath, serve, ...args],
      ],
      { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' },
    );
    this.#door = Bun.listen({ hostname: '127.0.0.1', port, socket: relayTo({ unix: at('socket') }) });
    void this.#read();
  }

  /** `port` is the one of the agent. */
  static async open(port: number): Promise<SmallInternet> {
    const made = new SmallInternet(port);
    await eventually('the small internet', () => made.#said.includes('ready'));
    return made;
  }

  /** The words before an agent that is in it. */
  get before(): readonly string[] {
    const enter = `exec nsenter -t ${this.#server.pid} --net --mount --wd="$PWD" -- "$@"`;
    return ['sh', '-c', enter, 'sh'];
  }

  /** What an agent needs to believe its certificates. */
  get settings(): Readonly<Record<string, string>> {
    return { NODE_EXTRA_CA_CERTS: this.#files.join('authority.pem') };
  }

  /** Everything that was asked for so far, as `address host path`. */
  get asked(): readonly string[] {
    return this.#said.split('\n').filter((line) => line !== '' && line !== 'ready' && !line.startsWith(PUSHED));
  }

  /** Everything that was sent to it by POST so far, as push services get it. */
  get pushed(): readonly Pushed[] {
    const lines = this.#said.split('\n').filter((line) => line.startsWith(PUSHED));
    return lines.map((line) => JSON.parse(line.slice(PUSHED.length)));
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#server.stdout) this.#said += decoder.decode(chunk, { stream: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#door.stop(true);
    this.#server.kill('SIGKILL');
    await this.#server.exited;
    this.#files[Symbol.dispose]();
  }
}

/** An authority of its own, and a certificate of it for these names. */
function makeAuthority(files: TemporaryDirectory, names: readonly string[]): void {
  const at = (name: string) => files.join(name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-x509', '-days', '2', '-subj', '/CN=tests', '-keyout', at('authority.key')];
  command(['openssl', 'req', ...key, ...authority, '-out', at('authority.pem')]);
  const alternatives = [...names.map((name) => `DNS:${name}`), 'IP:127.0.0.1'].join(',');
  const wanted = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${alternatives}`, '-keyout', at('host.key')];
  command(['openssl', 'req', ...key, ...wanted, '-out', at('host.csr')]);
  const sign = ['-in', at('host.csr'), '-CA', at('authority.pem'), '-CAkey', at('authority.key'), '-days', '2'];
  command(['openssl', 'x509', '-req', ...sign, '-copy_extensions', 'copy', '-out', at('host.pem')]);
}
