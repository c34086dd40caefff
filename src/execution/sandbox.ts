import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DEVICE_NAMES, deviceView } from './dev-view.ts';
import type { NamedAccount } from './environment.ts';
import { etcViews } from './etc-view.ts';
import { allHomes } from './homes.ts';
import { seccompFilter } from './seccomp.ts';

/** What a command sees and may change. The whole file system is there, read-only, but for what these name. */
export interface SandboxSpec {
  /** Directories that may be written to: absolute paths. */
  readonly writable: readonly string[];
  /** Whether it has the network of the machine. */
  readonly network: boolean;
  /** Paths that are empty inside: absolute, `~/` for every home, `*` for part of a name. */
  readonly hidden: readonly string[];
  /** The user who makes it, and runs in it; undefined: the agent's. */
  readonly account?: NamedAccount | undefined;
}

/** Descriptors under which bubblewrap finds its filter, and the environment of the command. */
const FILTER_FD = 3;
const ENVIRONMENT_FD = 4;

/** Where programs are looked for that run with the rights of the agent: no client has a say in it. */
export const TRUSTED_PATH = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

/** The path of a program that the agent trusts; its name where it is not installed, which the start then tells. */
export function trustedProgram(name: string): string {
  return Bun.which(name, { PATH: TRUSTED_PATH }) ?? name;
}

/** The words before a command that run it as another user: setpriv(1), of util-linux. */
export function asUser({ name, groups }: NamedAccount): string[] {
  return [trustedProgram('setpriv'), '--reuid', name, '--regid', String(groups[0]), '--init-groups', '--'];
}

/** Where a name server's settings lie, which /etc/resolv.conf often leads to. */
const RESOLVERS = ['/run/systemd/resolve', '/run/resolvconf', '/run/NetworkManager'];
/** Empty and the command's own. What programs listen on lies in /run. */
const OWN = ['/tmp', '/var/tmp', '/run'];

/**
 * The words before a command that run it in a sandbox (bwrap(1)). `shown` are files that it sees whatever is hidden.
 * It reads a seccomp filter from descriptor 3, and options for the command's environment from 4.
 */
export function sandboxArgv(spec: SandboxSpec, cwd: string, shown: readonly string[] = []): string[] {
  return [
    trustedProgram('bwrap'),
    ...['--args', String(ENVIRONMENT_FD)],
    ...boundaries(spec, shown),
    ...['--seccomp', String(FILTER_FD), '--chdir', cwd, '--'],
  ];
}

function boundaries(spec: SandboxSpec, shown: readonly string[]): string[] {
  const all = hiddenNow(spec);
  const etc = viewOfEtc(spec, all);
  const hidden = etc === undefined ? all : all.filter((path) => !path.startsWith('/etc/'));
  return [
    // A new user namespace also for root: it has no rights over the machine's other namespaces.
    ...['--unshare-user', '--disable-userns', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup'],
    ...(spec.network ? [] : ['--unshare-net']),
    ...['--cap-drop', 'ALL', '--ro-bind', '/', '/', ...devices(spec), '--proc', '/proc'],
    // What is written to there changes the machine (proc(5)). A mount for each such file would take 1 ms more.
    ...['--remount-ro', '/proc'],
    ...(etc === undefined ? [] : ['--ro-bind', etc, '/etc']),
    ...OWN.flatMap((path) => (isDirectory(path) ? ['--tmpfs', path] : [])),
    ...(spec.network ? RESOLVERS.flatMap((path) => (existsSync(path) ? ['--ro-bind', path, path] : [])) : []),
    ...hidden.flatMap(hide),
    ...spec.writable.flatMap((path) => ['--bind', path, path]),
    // What is hidden stays so inside of what may be written to.
    ...hidden.filter((path) => spec.writable.some((root) => path.startsWith(`${root}/`))).flatMap(hide),
    ...shown.flatMap((path) => ['--ro-bind', path, path]),
  ];
}

/** Who may write nowhere gets by without pseudo-terminals of its own, which saves 0.8 ms. */
function devices({ writable }: SandboxSpec): string[] {
  const view = deviceView();
  if (view === undefined) return ['--dev', '/dev'];
  if (writable.length === 0) return ['--dev-bind', view, '/dev', '--tmpfs', '/dev/shm'];
  return ['--dev', '/dev', ...DEVICE_NAMES.flatMap((name) => ['--dev-bind', join(view, name), join('/dev', name)])];
}

/** Whether a command would own the devices that bwrap(1) binds, and so may change their modes for all of the machine. */
function ownsDevices({ account }: SandboxSpec): boolean {
  return account === undefined ? process.geteuid?.() === 0 : account.user === 0;
}

/** A view of /etc without what is hidden there, also what only comes to be there; undefined where it cannot be had. */
function viewOfEtc({ hidden }: SandboxSpec, existing: readonly string[]): string | undefined {
  const named = hidden.filter((path) => !path.includes('*'));
  const names = [...named, ...existing].filter((path) => path.startsWith('/etc/'));
  return etcViews.without(outermost(names));
}

/** A directory that may be written to, and is, or lies behind, a symbolic link: it could lead elsewhere tomorrow. */
export function linkedDirectory({ writable }: Pick<SandboxSpec, 'writable'>): string | undefined {
  return writable.find((path) => existsSync(path) && realpathSync(path) !== path);
}

/**
 * Whether a path leads inside to what the agent itself finds there: nothing on its way is hidden, a link, another user's
 * or the sandbox's own. What is wrong with it can be told before the command then, and tells nothing that is hidden.
 */
export function isSeenAlike(spec: SandboxSpec, path: string): boolean {
  if (spec.account !== undefined || resolve('/', path) !== path) return false;
  const isWithin = (root: string): boolean => path === root || path.startsWith(`${root}/`);
  if ([...OWN, '/proc', '/dev', ...hiddenNow(spec)].some(isWithin)) return false;
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  return realOf(existing) === existing;
}

/** The seccomp filter of a sandbox; undefined where none is known for this machine. */
export function filterOf({ writable }: SandboxSpec): Uint8Array | undefined {
  return seccompFilter({ watches: writable.length > 0 });
}

/** Why no command can run in a sandbox here; undefined when it can. */
export function sandboxFault(spec: SandboxSpec): string | undefined {
  if (Bun.which('bwrap', { PATH: TRUSTED_PATH }) === null) {
    return 'bubblewrap is not installed (on Debian: apt-get install bubblewrap)';
  }
  const filter = filterOf(spec);
  if (filter === undefined) return `there is no seccomp filter for ${process.arch}`;
  const missing = spec.writable.find((path) => !isDirectory(path));
  if (missing !== undefined) return `the directory ${missing} does not exist`;
  if (ownsDevices(spec) && deviceView() === undefined) return 'the devices of the machine cannot be shielded from root';
  // The filter is read from standard input here: only a start with a descriptor more can tell of the real one.
  const end = ['--seccomp', '0', '--chdir', '/', '--', 'true'];
  const before = spec.account === undefined ? [] : asUser(spec.account);
  const argv = [...before, trustedProgram('bwrap'), ...boundaries(spec, []), ...end];
  const { exitCode, stderr } = Bun.spawnSync(argv, {
    env: { PATH: TRUSTED_PATH },
    stdin: Buffer.from(filter),
    stdout: 'ignore',
    stderr: 'pipe',
    timeout: PROBE_MS,
  });
  if (exitCode === 0) return undefined;
  const reason = stderr.toString().trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  return `bubblewrap cannot make a sandbox (${reason || 'it gave no reason'}); user namespaces may be switched off`;
}

const PROBE_MS = 5000;

/**
 * The first directory above a path that its modes close to a user, who can mount on nothing in it; else the path. The
 * directory itself is hidden then: an access control list may open it.
 */
function closedAbove({ user, groups }: NamedAccount, path: string): string {
  const names = path.split('/').slice(1, -1);
  const above = names.map((_, depth) => `/${names.slice(0, depth + 1).join('/')}`);
  const isClosed = (directory: string): boolean => {
    const stat = statSync(directory, { throwIfNoEntry: false });
    if (stat === undefined || user === 0) return false;
    const bit = stat.uid === user ? 0o100 : groups.includes(stat.gid) ? 0o010 : 0o001;
    return (stat.mode & bit) === 0;
  };
  return above.find(isClosed) ?? path;
}

/** What a command writes into a directory that only seems to be empty would be gone with it: it is refused. */
function hide(path: string): string[] {
  return isDirectory(path) ? ['--perms', '0555', '--tmpfs', path] : ['--ro-bind', '/dev/null', path];
}

/** To look for what patterns stand for takes 1 ms: it is good for so long, as long as all of it is still there. */
const FRESH_MS = 1000;
const MAX_LOOKS = 100;
const looks = new Map<string, { readonly paths: readonly string[]; readonly lookedMs: number }>();

function hiddenNow({ hidden, account }: SandboxSpec): readonly string[] {
  const key = [account?.name ?? '', ...hidden].join('\0');
  const known = looks.get(key);
  const now = performance.now();
  if (known !== undefined && now - known.lookedMs < FRESH_MS && known.paths.every((path) => existsSync(path)))
    return known.paths;
  const paths = expand(hidden, account);
  if (looks.size >= MAX_LOOKS) looks.clear();
  looks.set(key, { paths, lookedMs: now });
  return paths;
}

/** The existing paths that patterns stand for, links followed, outer ones first, as far as `account` gets to them. */
function expand(patterns: readonly string[], account: NamedAccount | undefined): string[] {
  const found = new Set<string>();
  const homes = allHomes().map((home) => ({ home, names: namesIn(home) }));
  for (const pattern of patterns) {
    for (const path of pattern.startsWith('~/') ? inHomes(homes, pattern.slice(2)) : matches(pattern)) {
      const real = realOf(path);
      // What is in a directory of its own is not there anyway.
      if (real !== undefined && !OWN.some((own) => real === own || real.startsWith(`${own}/`)))
        found.add(account === undefined ? real : closedAbove(account, real));
    }
  }
  return outermost([...found]);
}

/** Each path once, and none that lies in another, in their order. */
function outermost(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].sort();
  return sorted.filter((path) => !sorted.some((outer) => path.startsWith(`${outer}/`)));
}

interface Home {
  readonly home: string;
  /** What is in it; undefined where nobody tells. */
  readonly names: ReadonlySet<string> | undefined;
}

/** A hundred patterns in hundreds of homes: what a home has not at all is not looked for. */
function inHomes(homes: readonly Home[], rest: string): string[] {
  const [first = ''] = rest.split('/');
  const mayBeIn = ({ names }: Home): boolean => names === undefined || first.includes('*') || names.has(first);
  return homes.filter(mayBeIn).flatMap(({ home }) => matches(`${home}/${rest}`));
}

function namesIn(directory: string): ReadonlySet<string> | undefined {
  try {
    return new Set(readdirSync(directory));
  } catch {
    // It does not exist, or may be entered and not be listed.
    return undefined;
  }
}

/** The existing paths that match, `*` standing for any part of one name. */
function matches(pattern: string): string[] {
  // Before each command, for hundreds of them: what needs no search takes none.
  if (!pattern.includes('*')) return existsSync(pattern) ? [pattern] : [];
  let paths = ['/'];
  for (const part of pattern.split('/').filter((one) => one !== '')) {
    if (!part.includes('*')) {
      paths = paths.map((path) => join(path, part));
      continue;
    }
    const glob = new Bun.Glob(part);
    paths = paths.flatMap((path) =>
      childrenOf(path)
        .filter((name) => glob.match(name))
        .map((name) => join(path, name)),
    );
  }
  return paths.filter((path) => existsSync(path));
}

function childrenOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    // It does not exist, or is closed to us as well.
    return [];
  }
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
