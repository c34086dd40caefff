import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { cacheDirectory, cachedDirectory } from './cache.ts';
import { buildInitrd, kernelModules } from './initrd.ts';
import {
  DISABLED_UNITS,
  FILES,
  KERNEL_PACKAGE,
  LEFT_OUT,
  LINKS,
  LOCAL_USERS,
  MASKED_UNITS,
  PACKAGES,
  type Suite,
} from './recipe.ts';

/** What a machine boots from; never written to. */
export interface Image {
  readonly directory: string;
  /** The files of the root, from which containers start. */
  readonly tree: string;
  readonly kernel: string;
  readonly initrd: string;
  /** ext4, raw, with holes. */
  readonly root: string;
  /** A tar to unpack at /: Debian's lists of packages, and those that `apt-get install git dbus-user-session` then finds on the disk. */
  readonly packages: string;
}

/** Large enough for a test that fills files, and no more than holes where it does not. */
const ROOT_SIZE = '4G';

/** The image of a suite, from the cache or built (under a minute). Throws when it cannot be built. */
export function ensureImage(suite: Suite): Image {
  const directory = cachedDirectory(imageName(suite), (target) => build(suite, target));
  return {
    directory,
    tree: join(directory, 'root'),
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd'),
    root: join(directory, 'root.img'),
    packages: join(directory, 'packages.tar'),
  };
}

/** Whether a machine of a suite can be booted without building anything. */
export function imageIsBuilt(suite: Suite): boolean {
  return existsSync(join(cacheDirectory(), imageName(suite)));
}

/** Everything that goes into an image is in these files. */
function imageName(suite: Suite): string {
  const sources = ['image.ts', 'initrd.ts', 'recipe.ts', 'runner.pl'];
  const texts = sources.map((name) => readFileSync(join(import.meta.dir, name), 'utf8'));
  return `${suite}-${new Bun.CryptoHasher('sha256').update(texts.join('\0')).digest('hex').slice(0, 16)}`;
}

function build(suite: Suite, directory: string): void {
  console.error(`vm: building the image of Debian's ${suite} with systemd …`);
  const start = performance.now();
  const root = join(directory, 'root');
  bootstrap(suite, root);
  unpackKernel(root, directory);
  customize(root);
  buildInitrd(directory, kernelModules(root));
  command(['mke2fs', '-q', '-t', 'ext4', '-m', '0', '-d', root, '-L', 'root', join(directory, 'root.img'), ROOT_SIZE]);
  console.error(`vm: the image is built, after ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/**
 * Debian into `root`, with the file of its kernel and `packages.tar` in `root/kernel`. The kernel is fetched with the new system's own list
 * of packages, so that neither the host's release nor the age of its lists matters, and is only unpacked: installing it
 * would make an initrd that nobody uses.
 */
function bootstrap(suite: Suite, root: string): void {
  const fetchPackages = [
    'mkdir "$1/kernel" && cd "$1/kernel"',
    'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"',
    'apt-get clean',
    'apt-get install -y -qq --download-only -o APT::Sandbox::User=root git dbus-user-session',
    'tar -cf "$1/kernel/packages.tar" -C "$1" var/lib/apt/lists var/cache/apt/archives',
    `name=$(apt-cache depends ${KERNEL_PACKAGE} | sed -n 's/^ *Depends: //p' | head -n 1)`,
    'apt-get download -qq -o APT::Sandbox::User=root "$name"',
  ].join(' && ');
  command([
    ...['mmdebstrap', '--quiet', '--mode=root', '--variant=minbase', `--include=${PACKAGES[suite].join(',')}`],
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...['--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"'],
    ...[`--customize-hook=${fetchPackages}`, suite, root],
  ]);
}

function unpackKernel(root: string, directory: string): void {
  const packages = join(root, 'kernel');
  renameSync(join(packages, 'packages.tar'), join(directory, 'packages.tar'));
  const [archive] = readdirSync(packages);
  if (archive === undefined) throw new Error(`no kernel was fetched for ${KERNEL_PACKAGE}`);
  const tree = join(directory, 'kernel');
  mkdirSync(tree);
  command(['dpkg-deb', '-x', join(packages, archive), tree]);
  const kernel = readdirSync(join(tree, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error(`no kernel in ${archive}`);
  renameSync(join(tree, 'boot', kernel), join(directory, 'vmlinuz'));
  // Below /usr since Debian 13.
  const modules = ['usr/lib/modules', 'lib/modules'].map((path) => join(tree, path)).find(existsSync);
  if (modules === undefined) throw new Error(`no kernel modules in ${archive}`);
  renameSync(modules, join(root, 'usr/lib/modules'));
  // Debian 13 compresses them, which takes seconds for each under emulation; and insmod of busybox takes none that is.
  command(['find', join(root, 'usr/lib/modules'), '-name', '*.ko.xz', '-exec', 'unxz', '{}', '+']);
  command(['chroot', root, 'depmod', basename(kernelModules(root))]);
  for (const path of [packages, tree]) rmSync(path, { recursive: true });
}

function customize(root: string): void {
  for (const user of LOCAL_USERS) command(['chroot', root, 'useradd', '--create-home', '--shell', '/bin/bash', user]);
  for (const [path, text] of Object.entries(FILES)) {
    replace(root, path, (target) => writeFileSync(target, text));
    if (path.startsWith('/opt/vm/')) chmodSync(join(root, path), 0o755);
  }
  for (const unit of MASKED_UNITS) {
    replace(root, `/etc/systemd/system/${unit}`, (target) => symlinkSync('/dev/null', target));
  }
  for (const wants of ['multi-user.target.wants', 'timers.target.wants', 'sysinit.target.wants']) {
    for (const unit of [...DISABLED_UNITS, ...MASKED_UNITS]) {
      rmSync(join(root, 'etc/systemd/system', wants, unit), { force: true });
    }
  }
  for (const [path, text] of Object.entries(LINKS)) replace(root, path, (target) => symlinkSync(text, target));
}

function replace(root: string, path: string, write: (target: string) => void): void {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  write(target);
}
