import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isDirectory, isWithin, OWN_DIRECTORIES, realOf } from './hidden.ts';
import { lstatOrUndefined, statOrUndefined } from './reach.ts';

/** What a sandbox shows of the machine besides its files: its processes, its network, and its services by D-Bus. */
export interface MachineView {
  /** Whether it has the system bus. Only for a user to whom a policy of the bus forbids every change. */
  readonly bus: boolean;
}

/** The socket of the system bus (D-Bus specification, "Well-known Message Bus Instances"). */
export const SYSTEM_BUS = '/run/dbus/system_bus_socket';

/** Shows systemctl(1) that systemd runs here (sd_booted(3)). */
const BOOTED = '/run/systemd/system';
/** The journal of a machine that keeps it until it is switched off (journald.conf(5), Storage=). */
const VOLATILE_JOURNAL = '/run/log/journal';

/** The system bus of one sandbox. */
export interface BusDoor {
  /** Its path inside. */
  readonly path: string;
  /** Lengths of its address: some clients send the NUL after the path, others do not. */
  readonly addressBytes: readonly number[];
}

/** Returns options of bwrap(1) for /run, which is empty except for these. */
export function runOptions(bus: BusDoor | undefined): string[] {
  return [
    ...(isDirectory(VOLATILE_JOURNAL) ? ['--ro-bind', VOLATILE_JOURNAL, VOLATILE_JOURNAL] : []),
    ...(bus === undefined ? [] : ['--dir', BOOTED, '--ro-bind', SYSTEM_BUS, bus.path]),
  ];
}

const PS = '/usr/bin/ps';
/** Programs of the sandbox, before others in PATH: a file costs nothing, while a mount over ps takes 0.3 ms. */
export const OWN_PROGRAMS = '/run/agent3-bin';

/**
 * ps(1) of procps 4 looks for its own pid in /proc, and fails without it. In a PID namespace that pid is small, and in
 * the /proc of the machine it is another process or none: ps is run under a pid that exists.
 */
export const PS_SCRIPT = `#!/bin/sh
[ -e "/proc/$$" ] && exec ${PS} "$@"
tries=\${AGENT3_PS_TRIES:-0}
[ "$tries" -lt 9 ] || exec ${PS} "$@"
next=$(ls /proc | sort -n | while read -r pid; do [ "$pid" -gt "$(($$ + 9))" ] 2> /dev/null && echo "$pid" && break; done)
AGENT3_PS_TRIES=$((tries + 1)); export AGENT3_PS_TRIES
while now=$(sh -c 'echo $$') && [ "$now" -lt "$((\${next:-0} - 1))" ]; do :; done
sh "$0" "$@"
`;

/** Returns options that put the script in the descriptor `fd` before ps(1); none if ps is not a program of its own. */
export function psOptions(fd: number): string[] {
  if (lstatOrUndefined(PS)?.isFile() !== true) return [];
  return ['--perms', '0755', '--file', String(fd), `${OWN_PROGRAMS}/ps`];
}

/** Lengths of a path to the bus: longer than most names of sockets, and within the limit of libdbus (99 bytes). */
const [SHORTEST_PATH, LONGEST_PATH] = [60, 98] as const;
/** linux/un.h: the part of an address before its path. */
const FAMILY_BYTES = 2;

let doorBytes = randomInt(SHORTEST_PATH, LONGEST_PATH + 1);

/** The bus of one sandbox, and what is hidden for it. */
export interface BusView {
  readonly door: BusDoor;
  /** The same list until something changes. */
  readonly hidden: readonly string[];
}

/**
 * Returns the bus for a sandbox that hides `hidden`, which then also hides the sockets of programs; or why it has none.
 */
export function busView(hidden: readonly string[]): BusView | string {
  const sockets = socketsNow();
  const door = busDoor(sockets);
  if (door === undefined) return 'abstract sockets have names of every length';
  const all = withSockets(hidden, sockets);
  return typeof all === 'string' ? all : { door, hidden: all };
}

/**
 * Returns a path to the bus whose address is as long as that of no abstract socket; undefined if every length is taken.
 */
export function busDoor({ abstractBytes }: Pick<UnixSockets, 'abstractBytes'>): BusDoor | undefined {
  for (let tries = SHORTEST_PATH; tries <= LONGEST_PATH; tries++) {
    const addressBytes = [FAMILY_BYTES + doorBytes, FAMILY_BYTES + doorBytes + 1];
    if (!addressBytes.some((bytes) => abstractBytes.has(bytes)))
      return { path: '/run/agent3-bus-'.padEnd(doorBytes, '-'), addressBytes };
    doorBytes = doorBytes === LONGEST_PATH ? SHORTEST_PATH : doorBytes + 1;
  }
  return undefined;
}

/** The sockets of a network namespace that have names (unix(7)). */
export interface UnixSockets {
  /** Stream sockets that programs listen on: paths as they were given. */
  readonly listening: readonly string[];
  /** The lengths of the addresses of abstract sockets. */
  readonly abstractBytes: ReadonlySet<number>;
}

/** net/unix/af_unix.c, unix_seq_show: … flags type state inode name, an abstract one with `@` for its first NUL. */
const LINE = /^\S+: \S+ \S+ (\S+) (\S+) \S+ +\d+ (.+)$/;
/** linux/net.h: __SO_ACCEPTCON. */
const LISTENS = 0x10000;
const STREAM = 1;

/** Reads a table of /proc/net/unix, whose names are bytes. */
export function parseUnixSockets(table: Buffer): UnixSockets {
  const listening: string[] = [];
  const abstractBytes = new Set<number>();
  for (const line of table.toString('latin1').split('\n')) {
    const [, flags = '', type = '', name = ''] = LINE.exec(line) ?? [];
    if (name.startsWith('@')) abstractBytes.add(FAMILY_BYTES + name.length);
    else if (name !== '' && (Number.parseInt(flags, 16) & LISTENS) !== 0 && Number.parseInt(type, 16) === STREAM)
      listening.push(Buffer.from(name, 'latin1').toString());
  }
  return { listening: [...new Set(listening)], abstractBytes };
}

/** Returns the sockets with names of this machine, in each of its network namespaces that the agent may see. */
export function socketsNow(): UnixSockets {
  const own = parseUnixSockets(readFileSync('/proc/net/unix'));
  const others = otherNamespaces().flatMap(tableOf);
  const absolute = others.flatMap(({ listening }) => listening.filter((path) => path.startsWith('/')));
  return { listening: [...own.listening, ...absolute], abstractBytes: own.abstractBytes };
}

function tableOf(pid: string): UnixSockets[] {
  try {
    return [parseUnixSockets(readFileSync(`/proc/${pid}/net/unix`))];
  } catch {
    // It has ended, and with it the sockets of its namespace.
    return [];
  }
}

/** How often other network namespaces are looked for: that takes a few microseconds for each process. */
const NAMESPACES_MS = 5000;
let seen: { readonly pids: readonly string[]; readonly lookedMs: number } = { pids: [], lookedMs: -NAMESPACES_MS };

/** Returns a process of each network namespace other than the agent's: services have their own with PrivateNetwork=. */
function otherNamespaces(): readonly string[] {
  if (performance.now() - seen.lookedMs < NAMESPACES_MS) return seen.pids;
  const byNamespace = new Map(
    processes().flatMap((pid) => linkOf(`/proc/${pid}/ns/net`).map((ns) => [ns, pid] as const)),
  );
  for (const own of linkOf('/proc/self/ns/net')) byNamespace.delete(own);
  seen = { pids: [...byNamespace.values()], lookedMs: performance.now() };
  return seen.pids;
}

const processes = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    // The process has ended, or is another user's.
    return [];
  }
}

const lists = new WeakMap<readonly string[], { readonly sockets: string; readonly all: readonly string[] }>();

/** Returns what is hidden from a command that may make sockets, or why that is unknown. */
function withSockets(hidden: readonly string[], { listening }: UnixSockets): readonly string[] | string {
  const located = listening.map((name) => (name.startsWith('/') ? [name] : locate(name)));
  const lost = listening.find((_, index) => located[index]?.length === 0);
  if (lost !== undefined)
    return `a program listens on ${JSON.stringify(lost.slice(0, 100))}, whose directory is unknown`;
  const paths = located.flat().flatMap(reachable).sort();
  const sockets = paths.join('\0');
  const before = lists.get(hidden);
  if (before?.sockets === sockets) return before.all;
  const all = [...hidden, ...paths];
  lists.set(hidden, { sockets, all });
  return all;
}

/** Returns the targets of a path, if a sandbox shows it. */
function reachable(path: string): string[] {
  const isInOwn = (one: string): boolean => [...OWN_DIRECTORIES, '/dev'].some((own) => isWithin(own, one));
  if (isInOwn(path) && !path.includes('/..')) return [];
  const real = realOf(path);
  return real === undefined || isInOwn(real) ? [] : [real];
}

const isSocket = (path: string): boolean => statOrUndefined(path)?.isSocket() === true;

const known = new Map<string, readonly string[]>();
const MAX_KNOWN = 200;

/**
 * Returns where a socket with a relative name is: in the working directories of processes, as far as they can be seen.
 */
function locate(name: string): readonly string[] {
  const before = known.get(name);
  if (before?.every(isSocket) === true) return before;
  const directories = new Set(processes().flatMap((pid) => linkOf(`/proc/${pid}/cwd`)));
  const found = [...directories].map((directory) => join(directory, name)).filter(isSocket);
  if (known.size >= MAX_KNOWN) known.clear();
  if (found.length > 0) known.set(name, found);
  return found;
}

/** Whether the kernel shows the processes of others to everybody (proc(5), hidepid=). */
export function showsAllProcesses(mountInfo: string): boolean {
  const line = mountInfo.split('\n').find((one) => one.split(' ')[4] === '/proc');
  return line === undefined || !/[ ,]hidepid=(?!0|off)/.test(line);
}

/** Changes when the bus, or the file with its policy, changes. */
export function busFingerprint(policy: string): string {
  return [SYSTEM_BUS, policy]
    .map(statOrUndefined)
    .map((stat) => stat && [stat.ino, stat.mtimeMs, stat.ctimeMs])
    .join();
}
