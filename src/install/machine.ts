import { existsSync, fstatSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { runCommand } from '../../ops/watchdog/command.ts';
import { errnoOf } from '../lib/errors.ts';
import { MEMORY_OF_ONE_COMMAND } from '../lib/limits.ts';
import { LOG_GROUPS } from '../lib/look-user.ts';
import { tryLock } from '../linux/libc.ts';
import { lockHolder } from '../linux/lock.ts';
import { PATHS } from './layout.ts';

/** Why an installation stops, as a sentence for the owner that says what to do. Nothing half done is left. */
export class InstallFault extends Error {}

/** The same; throws `InstallFault` with what the program said when it fails. */
export function mustRun(argv: readonly string[], seconds?: number): string {
  const { code, stdout, stderr } = runCommand(argv, seconds);
  if (code === 0) return stdout;
  throw new InstallFault(`${argv.join(' ')} failed (${code}): ${(stderr || stdout).trim().slice(-1000)}`);
}

/** Whether systemd says `is-active`, or `is-enabled`, of a unit. */
export function unitIs(state: 'active' | 'enabled', unit: string): boolean {
  return runCommand(['systemctl', `is-${state}`, '--quiet', unit]).code === 0;
}

/** The fields of an entry in the system's user database (getent(1)), by a name or a number; undefined without one. */
export function entryOf(database: 'passwd' | 'group', name: string): string[] | undefined {
  const { code, stdout } = runCommand(['getent', database, name]);
  return code === 0 ? stdout.trim().split(':') : undefined;
}

/** The ids of users and groups. They throw `InstallFault` for a name that the system does not know. */
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

/** Whether the user database knows `name`. */
export function userExists(name: string): boolean {
  return entryOf('passwd', name) !== undefined;
}

/** The groups of the logs that this machine has; those in the group file of an image, and all where it has none yet. */
export function logGroupsOf(imageGroups: string | undefined, staged: boolean): string[] {
  if (!staged) return LOG_GROUPS.filter((group) => entryOf('group', group) !== undefined);
  return LOG_GROUPS.filter((group) => imageGroups === undefined || new RegExp(`^${group}:`, 'm').test(imageGroups));
}

/** The name of a user's own group. */
export function groupOf(user: string): string {
  return runCommand(['id', '-gn', user]).stdout.trim() || user;
}

const MIB = 1_048_576;

/** The limits of an installation, as shares of this machine. */
export interface MachineLimits {
  /** For the agent and all commands together. */
  readonly memoryMaxMib: number;
  readonly tasksMax: number;
  /** For all commands together: the rest is the agent's, so that it answers and can stop them. */
  readonly commandsMemoryMib: number;
  readonly commandsTasks: number;
}

/** What stays for the rest of the machine; Debian's own services take 60 to 90 MiB on a small server. */
const RESERVE = { part: 0.25, leastMib: 80, mostMib: 2048 };
/**
 * With less, one command would not have the 122 MiB that `apt-get install git` takes on Debian 12, measured in a
 * cgroup: with 114 it was killed. A machine of 256 MB (220 MiB) can spare so much, for most of it is cache that the
 * kernel reclaims.
 */
const LEAST_MEMORY_MIB = 196;
/**
 * What the agent has left when its commands have reached their limit. It takes 18 to 60 MiB on a small server, up to 120
 * MiB with 300 commands, and 30 threads. The kernel keeps 64 MiB of it from every other program (`MemoryMin=`).
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

/** What commands may use, in bytes: `all` together, no number without a limit; `one` by its setting, 0 without. */
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
    `the disk of ${directory} has ${Math.floor(free / MIB)} MiB free, and ${Math.ceil(bytes / MIB)} MiB are needed; make room, then run the installer again`,
  );
}

/** Why nobody can listen on `port` of `host`: the system's error, `EADDRINUSE` for a port that is taken; undefined: one can. */
export async function portFault(host: string, port: number): Promise<string | undefined> {
  // Loaded when it is needed: `agent3 console obey` has to start quickly.
  const { createServer } = await import('node:net');
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(errnoOf(error) ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** The names in a directory; none where it is not there. */
export function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Returns the text of a file, or undefined if it does not exist. */
export function readText(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/**
 * Returns the text of a regular file, even if the path comes from somebody's text; undefined if there is no such file.
 */
export function readFile(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= MIB ? readFileSync(path, 'utf8') : undefined;
}

/** Takes the lock of the installers until the process ends. Throws `InstallFault` while another one holds it. */
export function takeLock(): void {
  const fd = openSync(PATHS.lock, 'a', 0o600);
  if (tryLock(fd) && statSync(PATHS.lock, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return;
  throw new InstallFault(
    `another installer is at work; wait until it has ended (${lockHolder(fd)} holds ${PATHS.lock})`,
  );
}

/** Removes the file of the lock, which this process holds. */
export function removeLock(): void {
  rmSync(PATHS.lock, { force: true });
}
