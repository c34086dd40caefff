import { existsSync, fstatSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { runCommand } from '../../ops/watchdog/command.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { MEMORY_OF_ONE_COMMAND } from '../lib/limits.ts';
import { LOG_GROUPS } from '../lib/look-user.ts';
import { tryLock } from '../linux/libc.ts';
import { lockHolder } from '../linux/lock.ts';
import { PATHS } from './layout.ts';

/** An installation stops: a sentence for the owner that says what to do. All changes were undone. */
export class InstallFault extends Error {}

/** Does the same. Throws `InstallFault` with the output of the program when it fails. */
export function mustRun(argv: readonly string[], seconds?: number): string {
  const { code, stdout, stderr } = runCommand(argv, seconds);
  if (code === 0) return stdout;
  throw new InstallFault(`${argv.join(' ')} failed (${code}): ${(stderr || stdout).trim().slice(-1000)}`);
}

/** Returns the result of `systemctl is-active` or `is-enabled` for a unit. */
export function unitIs(state: 'active' | 'enabled', unit: string): boolean {
  return runCommand(['systemctl', `is-${state}`, '--quiet', unit]).code === 0;
}

/** Returns the fields of an entry in the user database (getent(1)), by name or number; undefined without one. */
export function entryOf(database: 'passwd' | 'group', name: string): string[] | undefined {
  const { code, stdout } = runCommand(['getent', database, name]);
  return code === 0 ? stdout.trim().split(':') : undefined;
}

/** Returns ids of users and groups. Throws `InstallFault` for an unknown name. */
export const systemIds = {
  uid: (name: string): number => idOf('passwd', name),
  gid: (name: string): number => idOf('group', name),
};

function idOf(database: 'passwd' | 'group', name: string): number {
  if (name === 'root') return 0;
  const id = entryOf(database, name)?.[2];
  if (id === undefined)
    throw new InstallFault(`there is no ${database === 'group' ? 'group' : 'user'} ${name} on this machine`);
  return Number(id);
}

/** Returns true when the user `name` exists. */
export function userExists(name: string): boolean {
  return entryOf('passwd', name) !== undefined;
}

/** Returns the log groups of this machine; for an image, those in its group file, or all when it has none yet. */
export function logGroupsOf(imageGroups: string | undefined, staged: boolean): string[] {
  if (!staged) return LOG_GROUPS.filter((group) => entryOf('group', group) !== undefined);
  return LOG_GROUPS.filter((group) => imageGroups === undefined || new RegExp(`^${group}:`, 'm').test(imageGroups));
}

/** Returns the primary group of a user. */
export function groupOf(user: string): string {
  return runCommand(['id', '-gn', user]).stdout.trim() || user;
}

const MIB = 1_048_576;

/** The resource limits of an installation, as shares of this machine. */
export interface MachineLimits {
  /** For the agent and all commands together. */
  readonly memoryMaxMib: number;
  readonly tasksMax: number;
  /** For all commands together. The rest is for the agent, so that it can answer and stop them. */
  readonly commandsMemoryMib: number;
  readonly commandsTasks: number;
}

/** Memory for the rest of the machine. Debian's services take 60 to 90 MiB on a small server. */
const RESERVE = { part: 0.25, leastMib: 80, mostMib: 2048 };
/**
 * With less, one command does not have the 122 MiB that `apt-get install git` needs on Debian 12, measured in a cgroup (it
 * was killed with 114). A machine of 256 MB (220 MiB) can do this, because most of it is cache that the kernel reclaims.
 */
const LEAST_MEMORY_MIB = 196;
/**
 * Reserved for the agent when its commands reach their limit. It uses 18 to 60 MiB on a small server, up to 120 MiB with
 * 300 commands, and 30 threads. The kernel protects 64 MiB of it (`MemoryMin=`).
 */
const AGENT = { part: 0.25, leastMib: 56, mostMib: 128, tasks: 64 };
/** One process for each MiB: 2,048 on a machine of 2 GiB. */
const TASKS = { perMib: 1, least: 512, most: 8192 };

/** The limits for a machine with `memoryBytes` of memory. */
export function limitsFor(memoryBytes: number = totalmem()): MachineLimits {
  const mib = Math.floor(memoryBytes / MIB);
  const within = ({ part, leastMib, mostMib }: typeof RESERVE, whole: number): number =>
    Math.min(Math.max(Math.ceil(whole * part), leastMib), mostMib);
  const memoryMaxMib = Math.max(LEAST_MEMORY_MIB, mib - within(RESERVE, mib));
  const tasksMax = Math.min(Math.max(mib * TASKS.perMib, TASKS.least), TASKS.most);
  return {
    memoryMaxMib,
    tasksMax,
    commandsMemoryMib: memoryMaxMib - within(AGENT, memoryMaxMib),
    commandsTasks: tasksMax - AGENT.tasks,
  };
}

/** Describes the memory limits of commands, in bytes: `all` together (not finite without a limit), and `one` (0 without a setting). */
export function describeMemoryLimits(all: number, one = 0): string {
  const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;
  if (!Number.isFinite(all)) return one > 0 ? `one may use ${mib(one)} of memory` : 'without a limit of memory';
  return `one may use ${mib(one || all * MEMORY_OF_ONE_COMMAND)} of memory, all together ${mib(all)}`;
}

/** Throws `InstallFault` when the file system below `path` has less than `bytes` free. */
export function requireSpace(path: string, bytes: number): void {
  let directory = path;
  while (!existsSync(directory)) directory = dirname(directory);
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new InstallFault(
    `the disk of ${directory} has ${Math.floor(free / MIB)} MiB free, but ${Math.ceil(bytes / MIB)} MiB are needed. Make room, then run the installer again`,
  );
}

/** Returns the system's error of listening on `port` of `host`, `EADDRINUSE` for a used port; undefined when it works. */
export async function portFault(host: string, port: number): Promise<string | undefined> {
  // Loaded only when needed, because `agent3 console obey` must start quickly.
  const { createServer } = await import('node:net');
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(errnoOf(error) ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Returns the names in a directory; none when it does not exist. */
export function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Returns the text of a file, or undefined when it does not exist. Throws `InstallFault` when it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  } catch (error) {
    throw new InstallFault(`${path} cannot be read: ${describeErrno(error)}`);
  }
}

/** Returns the text of a regular file, for a path from an untrusted text; undefined when it does not exist. */
export function readFile(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= MIB ? readFileSync(path, 'utf8') : undefined;
}

/** Takes the installer lock until the process ends. Throws `InstallFault` while another process has it. */
export function takeLock(): void {
  const fd = openSync(PATHS.lock, 'a', 0o600);
  if (tryLock(fd) && statSync(PATHS.lock, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return;
  throw new InstallFault(
    `another installer is running (${lockHolder(fd)} holds ${PATHS.lock}). Wait until it has ended`,
  );
}

/** Removes the file of the lock, which this process holds. */
export function removeLock(): void {
  rmSync(PATHS.lock, { force: true });
}
