import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { command } from '../../helpers/debian.ts';

/** What a machine boots from. */
export interface Image {
  readonly directory: string;
  readonly kernel: string;
  readonly initrd: string;
  /** ext4, raw; never written to. */
  readonly root: string;
}

const SUITE = 'bookworm';

/** On top of Debian's minimal system: what the installed agent meets on a server, and what the tests look with. */
const PACKAGES =
  'systemd,systemd-sysv,udev,dbus,kmod,logrotate,cron,curl,procps,iproute2,python3-flask,caddy,ca-certificates,openssl,perl-base,adduser,less';

/** Kernel modules between the kernel and its root disk, in the order of their dependence; then the channel's. */
const MODULES = ['virtio_blk', 'virtio_pci', 'virtio_console', 'ext4'] as const;

/** Timers and consoles that only cost time here. */
const MASKED = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'man-db.timer',
  'getty@tty1.service',
  'serial-getty@ttyS0.service',
  'systemd-networkd-wait-online.service',
  'systemd-timesyncd.service',
  'systemd-pcrphase.service',
  'systemd-pcrphase-sysinit.service',
];

const RUNNER_UNIT = `[Unit]
Description=Runs what the tests send
StartLimitIntervalSec=0
[Service]
ExecStart=/opt/vm/runner.pl
Restart=always
RestartSec=1
# It answers also while the machine is flooded.
OOMScoreAdjust=-1000
CPUWeight=10000
TasksMax=infinity
[Install]
WantedBy=multi-user.target
`;

const RUNNER = join(import.meta.dir, 'runner.pl');

/** The image, from the cache or built anew (about a minute): the cache is named by a hash of everything that goes into it. */
export function ensureImage(): Image {
  const sources = [import.meta.path, RUNNER].map((path) => readFileSync(path, 'utf8'));
  const hash = new Bun.CryptoHasher('sha256').update(sources.join('\0')).digest('hex').slice(0, 16);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'agent3-vm');
  const directory = join(cache, hash);
  if (!existsSync(directory)) {
    mkdirSync(cache, { recursive: true });
    removeOld(cache);
    const building = mkdtempSync(join(cache, 'building-'));
    build(building);
    renameSync(building, directory);
  }
  return {
    directory,
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd'),
    root: join(directory, 'root.img'),
  };
}

const KEPT_MS = 3 * 86_400_000;

/** Images that nobody has built for days go; a younger one may be another checkout's. */
function removeOld(cache: string): void {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path, { recursive: true, force: true });
  }
}

function build(directory: string): void {
  const root = join(directory, 'root');
  console.error('vm: building the image of a Debian with systemd …');
  const modules = fetchKernel(directory);
  command(['mmdebstrap', '--quiet', '--variant=minbase', `--include=${PACKAGES}`, SUITE, root]);
  cpSync(modules, join(root, 'lib/modules'), { recursive: true });
  customize(root);
  buildInitrd(directory, join(root, 'lib/modules'));
  command(['mke2fs', '-q', '-t', 'ext4', '-d', root, '-L', 'root', join(directory, 'root.img'), '4G']);
  for (const path of [root, join(directory, 'kernel')]) rmSync(path, { recursive: true, force: true });
}

/** Debian's kernel for virtual machines, unpacked; gives the directory of its modules. */
function fetchKernel(directory: string): string {
  const kernel = join(directory, 'kernel');
  mkdirSync(kernel);
  const depends = command(['apt-cache', 'depends', 'linux-image-cloud-amd64']);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`linux-image-cloud-amd64 has no kernel: ${depends}`);
  command(['apt-get', 'download', '-qq', '-o', 'APT::Sandbox::User=root', name], kernel);
  const archive = readdirSync(kernel).find((file) => file.endsWith('.deb'));
  command(['dpkg', '-x', `${archive}`, '.'], kernel);
  const image = readdirSync(join(kernel, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  renameSync(join(kernel, 'boot', `${image}`), join(directory, 'vmlinuz'));
  return join(kernel, 'lib/modules');
}

function customize(root: string): void {
  const write = (path: string, text: string, mode = 0o644): void => {
    const target = join(root, path);
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true });
    writeFileSync(target, text, { mode });
  };
  const system = 'etc/systemd/system';
  write('opt/vm/runner.pl', readFileSync(RUNNER, 'utf8'), 0o755);
  chmodSync(join(root, 'opt/vm/runner.pl'), 0o755);
  write(`${system}/vm-runner.service`, RUNNER_UNIT);
  mkdirSync(join(root, system, 'multi-user.target.wants'), { recursive: true });
  symlinkSync('../vm-runner.service', join(root, system, 'multi-user.target.wants/vm-runner.service'));
  for (const unit of MASKED) {
    rmSync(join(root, system, unit), { force: true });
    symlinkSync('/dev/null', join(root, system, unit));
  }
  for (const wants of ['multi-user.target.wants', 'timers.target.wants']) {
    for (const unit of ['caddy.service', ...MASKED]) rmSync(join(root, system, wants, unit), { force: true });
  }
  write('etc/hostname', 'agent3-vm\n');
  write('etc/hosts', '127.0.0.1 localhost agent3-vm agent3.localhost\n::1 localhost\n');
  write('etc/machine-id', `${'0123456789abcdef'.repeat(2)}\n`);
  write('etc/fstab', '');
  // Everything is several times slower under emulation.
  write('etc/systemd/system.conf.d/vm.conf', '[Manager]\nDefaultTimeoutStartSec=300\nDefaultTimeoutStopSec=60\n');
  write('etc/systemd/journald.conf.d/vm.conf', '[Journal]\nStorage=persistent\nSystemMaxUse=32M\n');
}

const INIT = `#!/bin/sh
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
n=0
while [ ! -b /dev/vda ] && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
mount -t ext4 -o rw /dev/vda /root
exec switch_root /root /sbin/init
`;

/** The smallest thing that finds the root disk: busybox, and the modules with all that they depend on. */
function buildInitrd(directory: string, modules: string): void {
  const tree = join(directory, 'tree');
  for (const name of ['bin', 'dev', 'root', 'modules', 'proc']) mkdirSync(join(tree, name), { recursive: true });
  cpSync('/bin/busybox', join(tree, 'bin/busybox'));
  for (const name of ['sh', 'mount', 'insmod', 'sleep', 'switch_root', 'read', '[']) {
    symlinkSync('busybox', join(tree, 'bin', name));
  }
  const [version] = readdirSync(modules);
  command(['depmod', '-b', join(modules, '../..'), `${version}`]);
  const order: string[] = [];
  for (const module of MODULES) {
    for (const path of withDependencies(join(modules, `${version}`), module)) {
      const name = path.split('/').at(-1) ?? '';
      if (order.includes(name)) continue;
      order.push(name);
      cpSync(path, join(tree, 'modules', name));
    }
  }
  writeFileSync(join(tree, 'modules/order'), `${order.join('\n')}\n`);
  writeFileSync(join(tree, 'init'), INIT, { mode: 0o755 });
  command(['sh', '-c', 'find . | cpio --quiet -o -H newc > ../initrd'], tree);
  rmSync(tree, { recursive: true });
}

/** The files of a module and of those it needs, in the order in which they are loaded. Built-in ones have none. */
function withDependencies(modules: string, name: string): string[] {
  const table = readFileSync(join(modules, 'modules.dep'), 'utf8');
  const line = table.split('\n').find((one) => new RegExp(`(^|/)${name}\\.ko\\S*:`).test(one));
  if (line === undefined) return [];
  const [own = '', dependencies = ''] = line.split(':');
  return [...dependencies.trim().split(' ').filter(Boolean).reverse(), own].map((path) => join(modules, path));
}
