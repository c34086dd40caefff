import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ensurePrograms, hostEnvironment } from '../../helpers/debian.ts';
import { within } from '../../helpers/waiting.ts';
import { Channel } from './channel.ts';
import type { Guest } from './guest.ts';
import { ensureImage } from './image.ts';
import type { Suite } from './recipe.ts';
import { quote } from './scripts.ts';
import { settled } from './snapshot.ts';

/** What directories and cgroups of containers are called, with the number of the process that made them. */
const NAME = /^agent3-container-(\d+)-/;

/** A boot takes a second on a quiet host. */
const BOOT_MS = 60_000;
const SCRIPT_SECONDS = 60;
const LOG_CHARACTERS = 4000;

/** Where the container sees what it shares with the host; only its root can look there. */
const SHARED = '/opt/vm/shared';

/** What a container has on top of the image: path → text. */
const FILES: Readonly<Record<string, string>> = {
  '/opt/vm/runner.pl': readFileSync(join(import.meta.dir, 'runner.pl'), 'utf8'),
  // A sandbox can only have a /proc of its own where a whole one is mounted, and that of nspawn is partly covered; and it
  // says there how many user namespaces may be made in it.
  '/etc/systemd/system/vm-runner.service.d/container.conf': `[Service]
Environment=VM_CHANNEL=${SHARED}/channel
ExecStartPre=/bin/sh -ec 'mountpoint -q /opt/vm/proc && exit; mkdir -p -m 700 /opt/vm/proc; mount -t proc proc /opt/vm/proc; mount --bind /opt/vm/proc/sys/user /proc/sys/user'
`,
};
const MASKED_UNITS = ['console-getty.service'] as const;

/** What the tests ask of a container, and not every host can give. */
const ABILITIES = `set -e
file=$(mktemp)
chattr +a "$file"; chattr -a "$file"; rm "$file"
sandbox="bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all --unshare-user --disable-userns true"
$sandbox
setpriv --reuid visitor --regid visitor --clear-groups $sandbox`;

/** Removes the cgroups of machines that are off; waits for the processes of the one named. */
const REMOVE_CGROUPS = `mount -t cgroup2 cgroup "$1" && cd "$1$(sed -n 's/^0:://p' /proc/self/cgroup)" || exit 0
shift
for name; do
  for try in $(seq 100); do
    find "$name" -depth -type d -exec rmdir {} + 2> /dev/null
    [ -d "$name" ] || break
    sleep 0.05
  done
done`;

/**
 * A Debian with systemd in a container of systemd-nspawn: it boots in a second and runs at native speed, on the host's
 * kernel. It has no controllers, so no limit holds in it; there is no power to cut, and the clock is the host's.
 */
export class Container implements Guest {
  readonly hasControllers = false;
  readonly channel = new Channel();
  readonly #directory: string;
  readonly #child: Bun.Subprocess;
  readonly #server: Server;
  #copies = 0;

  private constructor(lower: string) {
    this.#directory = mkdtempSync(join(tmpdir(), `agent3-container-${process.pid}-`));
    for (const name of ['files', 'shared']) mkdirSync(this.#at(name), { mode: 0o700 });
    writeFiles(this.#at('files'));
    this.#server = createServer((socket) => this.channel.attach(socket));
    this.#server.listen(this.#at('shared/channel'));
    const console = openSync(this.#at('console'), 'a');
    this.#child = Bun.spawn(
      [
        // The kernel ends all of it when this process ends, however that ends.
        ...['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private'],
        ...['--pid', '--fork', '--kill-child', '--mount-proc'],
        ...['sh', join(import.meta.dir, 'container.sh'), this.#directory, lower, basename(this.#directory)],
      ],
      { stdio: ['ignore', console, console], env: hostEnvironment() },
    );
    closeSync(console);
    this.#child.exited.then((code) => this.channel.end(new Error(`the container has ended with ${code}`)));
  }

  /** One that has just booted. Throws when it does not come up, or cannot do what the tests ask of it. */
  static async boot(suite: Suite): Promise<Container> {
    if (process.getuid?.() !== 0) throw new Error('only root can start one');
    const missing = ensurePrograms('systemd-nspawn', 'setpriv');
    if (missing.length > 0) throw new Error(`${missing.join(', ')} missing`);
    const image = ensureImage(suite);
    await removeLeftovers();
    const container = new Container(image.tree);
    try {
      await within('the boot', container.channel.nextStart(), BOOT_MS);
      await settled(container.channel);
      await container.#sh(ABILITIES);
      return container;
    } catch (error) {
      const log = container.log();
      await container.kill();
      throw new Error(`${error instanceof Error ? error.message : error}\n${log}`, { cause: error });
    }
  }

  async copyIn(hostPath: string, guestPath: string): Promise<void> {
    const copy = `copy-${++this.#copies}`;
    copyFileSync(hostPath, this.#at(`shared/${copy}`), constants.COPYFILE_FICLONE);
    const mode = (statSync(hostPath).mode & 0o7777).toString(8);
    const [from, to] = [quote(`${SHARED}/${copy}`), quote(guestPath)];
    await this.#sh(`install -D -m ${mode} ${from} ${to} && rm ${from}`);
  }

  /** A path of both, since a unix socket is one of the file system, whatever the network is. */
  async reach(socket: string): Promise<string> {
    const name = `reach-${++this.#copies}`;
    await this.#sh(`${proxy(name, `${SHARED}/${name}`, socket)}; until [ -S ${SHARED}/${name} ]; do sleep 0.05; done`);
    return this.#at(`shared/${name}`);
  }

  /** The socket has a second name, in what is shared. */
  async forward(address: string, socket: string): Promise<void> {
    const name = `forward-${++this.#copies}`;
    linkSync(socket, this.#at(`shared/${name}`));
    const listens = `(: <> /dev/tcp/${address.replace(':', '/')}) 2> /dev/null`;
    await this.#sh(`${proxy(name, address, `${SHARED}/${name}`)}; until ${listens}; do sleep 0.05; done`);
  }

  powerCut(): Promise<void> {
    return Promise.reject(new Error('a container has no power to cut: the suite needs a machine'));
  }

  log(): string {
    const path = this.#at('console');
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-LOG_CHARACTERS) : '';
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#child.exited;
    this.channel.close();
    this.#server.close();
    await removeCgroups([basename(this.#directory)]);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #sh(script: string): Promise<void> {
    const { code, stdout, stderr } = await this.channel.run(script, SCRIPT_SECONDS);
    if (code !== 0) throw new Error(`exit code ${code} of: ${script}\n${stdout}\n${stderr}`);
  }

  #at(name: string): string {
    return join(this.#directory, name);
  }
}

/** A unit of the machine that passes connections on, to a path or an address. */
function proxy(unit: string, from: string, to: string): string {
  return `systemd-run --quiet --unit=${unit} systemd-socket-activate -l ${from} /lib/systemd/systemd-socket-proxyd ${quote(to)}`;
}

function writeFiles(directory: string): void {
  for (const [path, text] of Object.entries(FILES)) {
    const target = join(directory, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  chmodSync(join(directory, '/opt/vm/runner.pl'), 0o755);
  for (const unit of MASKED_UNITS) symlinkSync('/dev/null', join(directory, 'etc/systemd/system', unit));
}

/** Removes what processes of tests have left that were killed: their containers ended with them. */
async function removeLeftovers(): Promise<void> {
  const left = readdirSync(tmpdir()).filter((name) => {
    const pid = NAME.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
  if (left.length === 0) return;
  await removeCgroups(left);
  for (const name of left) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

async function removeCgroups(names: readonly string[]): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'agent3-cgroup-'));
  const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', REMOVE_CGROUPS, 'sh', place, ...names];
  await Bun.spawn(argv, { stdio: ['ignore', 'ignore', 'ignore'], env: hostEnvironment() }).exited;
  rmSync(place, { recursive: true, force: true });
}
