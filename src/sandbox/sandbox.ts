import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describeErrno, errnoOf, isOutOfFiles } from '../lib/errors.ts';
import { exportLine, markBeginning, openMemory, openStatus, SandboxFault, type Status } from '../process/beginning.ts';
import type { NamedAccount } from '../process/environment.ts';
import type { Descriptors } from '../process/start.ts';
import { DEVICE_NAMES, deviceView } from './dev-view.ts';
import { type HiddenPaths, hiddenNow, isDirectory, isHiddenName, isWithin, OWN_DIRECTORIES, realOf } from './hidden.ts';
import { hidingViews, showView } from './hiding-view.ts';
import { homeView } from './home-view.ts';
import { busView, type MachineView, OWN_PROGRAMS, PS_SCRIPT, psOptions, runOptions } from './machine-view.ts';
import { seccompFilter } from './seccomp.ts';
import { openWorkspace } from './workspace.ts';
import { coverWorkspace } from './workspace-cover.ts';
import { wallFrom } from './write-wall.ts';

/** What a command sees and may change. The whole file system is there, read-only, except for these. */
export interface SandboxSpec {
  /** Directories that may be written to: absolute paths. */
  readonly writable: readonly string[];
  /** Whether it has the network of the machine. */
  readonly network: boolean;
  /** Paths that are empty inside: absolute, `~/` for every home, `*` for part of a name. */
  readonly hidden: readonly string[];
  /** The user that makes it, and runs in it; undefined: the agent's. */
  readonly account?: NamedAccount | undefined;
  /** What it shows of the machine; undefined: its own processes and network only. */
  readonly machine?: MachineView | undefined;
}

/** Where programs are looked for that run with the rights of the agent: no client can change it. */
export const TRUSTED_PATH = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

/** Returns the path of a trusted program; its name if it is not installed, so that the start reports it. */
export function trustedProgram(name: string): string {
  return Bun.which(name, { PATH: TRUSTED_PATH }) ?? name;
}

/**
 * Returns the words before a command that run it as another user: chroot(1) of coreutils, to the existing root. It
 * takes numbers with a plus as ids; setpriv(1) looks for names first, which loads the libraries of the name service and
 * takes 1 ms more.
 */
export function asUser({ user, groups }: NamedAccount): string[] {
  const [own] = groups;
  const all = groups.map((group) => `+${group}`).join(',');
  return [trustedProgram('chroot'), `--userspec=+${user}:+${own}`, `--groups=${all}`, '/'];
}

/** What a command has in its sandbox besides the sandbox itself. Names in `env` only have letters, digits and `_`. */
export interface Inside {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What bwrap(1) is started with. */
export interface SandboxStart {
  /** Before the words of the command. */
  readonly words: readonly string[];
  /** Its options and the environment of the command, each followed by a NUL: no process list shows them. */
  readonly options: Uint8Array;
  /** The seccomp filter. */
  readonly filter: Uint8Array;
  /** Reports whether the command has begun. */
  readonly status: Status;
  /** Further descriptors after those two. They and `status` belong to `descriptors`. */
  readonly descriptors: readonly number[];
}

/**
 * Descriptors: the filter, the options, the report of the command's beginning, and the first of the directories. After
 * those, bwrap reports about its sandbox.
 */
const FILTER_FD = 3;
const OPTIONS_FD = 4;
const STATUS_FD = 5;
const FIRST_DIRECTORY_FD = 6;

/** Settings of name servers, to which /etc/resolv.conf is often a link. */
const RESOLVERS = ['/run/systemd/resolve', '/run/resolvconf', '/run/NetworkManager'];
/**
 * Returns what runs a command in a sandbox (bwrap(1)), with the descriptors from 3 on in the order of their constants.
 * Throws `SandboxFault` if it cannot be made as its profile requires, also for an unforeseen error of the system,
 * and EMFILE.
 */
export function prepareSandbox(spec: SandboxSpec, inside: Inside, descriptors: Descriptors): SandboxStart {
  try {
    return prepare(spec, inside, descriptors);
  } catch (error) {
    if (errnoOf(error) === undefined || isOutOfFiles(error)) throw error;
    throw new SandboxFault(`what it needs cannot be prepared: ${describeErrno(error)}`, { cause: error });
  }
}

function prepare(spec: SandboxSpec, inside: Inside, descriptors: Descriptors): SandboxStart {
  const view = spec.machine?.bus === true ? busView(spec.hidden) : undefined;
  const bus = typeof view === 'object' ? view.door : undefined;
  const filter = seccompFilter({
    isWritable: spec.writable.length > 0,
    network: spec.network,
    machine: spec.machine && { addressBytes: bus?.addressBytes ?? [] },
  });
  if (filter === undefined) throw new SandboxFault(`there is no seccomp filter for ${process.arch}`);
  const directories: number[] = [];
  const bind = (fd: number, path: string): string[] => {
    directories.push(fd);
    return ['--bind-fd', String(FIRST_DIRECTORY_FD + directories.length - 1), path];
  };
  const emptied: string[] = [];
  /** A directory that only seems empty must take no files: they would be gone with it. */
  const hide = (path: string, isDirectory: boolean): string[] => {
    if (!isDirectory) return ['--ro-bind', '/dev/null', path];
    emptied.push(path);
    return ['--perms', '0555', '--tmpfs', path];
  };
  const hidden = hiddenNow(typeof view === 'object' ? { ...spec, hidden: view.hidden } : spec);
  const mounts = viewOptions(spec, hidden, { bind, hide, seal: (path) => emptied.push(path) }, descriptors);
  const ps = spec.machine === undefined ? [] : psOptions(FIRST_DIRECTORY_FD + directories.length);
  if (ps.length > 0) directories.push(descriptors.add(openMemory(Buffer.from(PS_SCRIPT))));
  const wall = spec.writable.length > 0 ? undefined : wallFrom(FIRST_DIRECTORY_FD + directories.length);
  if (wall !== undefined) directories.push(descriptors.add(openMemory(wall.program)));
  const status = openStatus(descriptors, true);
  const information = status.information === undefined ? [] : [status.information];
  const env = Object.entries({
    ...inside.env,
    ...(ps.length > 0 && { PATH: `${OWN_PROGRAMS}:${inside.env['PATH'] ?? TRUSTED_PATH}` }),
    ...(bus && { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${bus.path}` }),
  });
  const options = [
    ...information.flatMap(() => ['--info-fd', String(FIRST_DIRECTORY_FD + directories.length)]),
    '--clearenv',
    ...env.filter(([name]) => !isForLoader(name)).flatMap(([name, value]) => ['--setenv', name, value]),
    ...mounts,
    ...(spec.machine === undefined ? [] : runOptions(bus)),
    ...ps,
    ...(wall?.options ?? []),
    // Only now, when all is mounted in them.
    ...emptied.flatMap((path) => ['--remount-ro', path]),
    ...['--seccomp', String(FILTER_FD), '--chdir', inside.cwd],
  ];
  return {
    words: [
      ...[trustedProgram('bwrap'), '--args', String(OPTIONS_FD), '--', ...(wall?.words ?? [])],
      ...['/bin/sh', '-c', beginning(env)],
    ],
    options: Buffer.from([...options, ''].join('\0')),
    filter,
    status,
    descriptors: [status.writing, ...directories, ...information],
  };
}

/**
 * Variables of the dynamic loader (ld.so(8)): with them, a client would decide what runs before the beginning is
 * reported. They are set after that.
 */
const isForLoader = (name: string): boolean => name.startsWith('LD_');

/** Reports the beginning of the command, then becomes it. */
function beginning(env: readonly (readonly [name: string, value: string])[]): string {
  const late = env.filter(([name]) => isForLoader(name));
  return [markBeginning(STATUS_FD), ...late.map(exportLine), 'exec "$0" "$@"'].join('\n');
}

/** The options of mounts. */
interface Mounts {
  bind(fd: number, path: string): string[];
  hide(path: string, isDirectory: boolean): string[];
  /** Nothing may be written into this directory once all is mounted. */
  seal(path: string): void;
}

/** Returns the options for namespaces and mounts. */
function viewOptions(spec: SandboxSpec, hidden: HiddenPaths, mounts: Mounts, descriptors: Descriptors): string[] {
  const etc = hidingViews.without('/etc', spec.hidden, hidden.outside, spec.account?.user ?? 0);
  const home = homeView(spec, hidden.outside);
  const viewed = [...(etc === undefined ? [] : ['/etc']), ...(home === undefined ? [] : [home.home])];
  const isViewed = (path: string): boolean => viewed.some((root) => isWithin(root, path));
  const outside = hidden.outside.filter(
    (path) => !isViewed(path) || [etc, home].some((view) => view?.mounts.some((mount) => isWithin(mount, path))),
  );
  if (home?.isEmptied === true) mounts.seal(home.home);
  return [
    // A new user namespace also for root: it has no rights over the machine's other namespaces.
    ...['--unshare-user', '--disable-userns', '--unshare-pid', '--unshare-ipc'],
    // A command that sees the machine sees its name and cgroups, and has no right to change them: two namespaces take
    // 0.2 ms.
    ...(spec.machine === undefined ? ['--unshare-uts', '--unshare-cgroup'] : []),
    ...(spec.network || spec.machine !== undefined ? [] : ['--unshare-net']),
    ...['--cap-drop', 'ALL', '--ro-bind', '/', '/', ...devices(spec)],
    // Writing there changes the machine (proc(5)). A mount for each such file would take 1 ms more.
    ...(spec.machine === undefined ? ['--proc', '/proc', '--remount-ro', '/proc'] : []),
    ...(etc === undefined ? [] : showView(etc, '/etc')),
    ...(home?.options ?? []),
    ...OWN_DIRECTORIES.flatMap((path) => (isDirectory(path) ? ['--tmpfs', path] : [])),
    ...(spec.network ? RESOLVERS.flatMap((path) => (existsSync(path) ? ['--ro-bind', path, path] : [])) : []),
    ...outside.flatMap((path) => mounts.hide(path, hidden.directories.has(path))),
    ...spec.writable.flatMap((path) => workspaceOptions(path, spec, hidden, mounts, descriptors)),
  ];
}

/** Returns the options for a workspace, and for what stays hidden in it. */
function workspaceOptions(
  path: string,
  { hidden, account }: SandboxSpec,
  { inside }: HiddenPaths,
  { bind, hide }: Mounts,
  descriptors: Descriptors,
): string[] {
  const workspace = openWorkspace(path, account, descriptors);
  const { pins, masks } = coverWorkspace(workspace, hidden, inside, account, descriptors);
  return [
    ...bind(workspace.fd, path),
    ...pins.flatMap((pin) => bind(pin.fd, pin.path)),
    ...masks.flatMap((mask) => hide(mask.path, mask.isDirectory)),
  ];
}

/** A command that may write nowhere needs no pseudo-terminals, which saves 0.8 ms. */
function devices({ writable }: SandboxSpec): string[] {
  const view = deviceView();
  if (view === undefined) return ['--dev', '/dev'];
  if (writable.length === 0) return ['--dev-bind', view, '/dev', '--tmpfs', '/dev/shm'];
  return ['--dev', '/dev', ...DEVICE_NAMES.flatMap((name) => ['--dev-bind', join(view, name), join('/dev', name)])];
}

/**
 * Whether a path leads inside to the same file as for the agent: nothing on its way is hidden (or would be), a link,
 * another user's or the sandbox's own. Then a fault of it can be reported before the command, and reveals nothing that
 * is hidden.
 */
export function isSeenAlike(spec: SandboxSpec, path: string): boolean {
  if (spec.account !== undefined || resolve('/', path) !== path) return false;
  const { outside, inside } = hiddenNow(spec);
  if ([...OWN_DIRECTORIES, '/proc', '/dev', ...outside, ...inside].some((root) => isWithin(root, path))) return false;
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  return realOf(existing) === existing && (existing === path || !isHiddenName(spec.hidden, path));
}
