import { closeSync } from 'node:fs';
import { libc } from './libc.ts';
import { isDead, parseStat, readProcFile } from './proc.ts';

/** pidfd_open(2), the same on every architecture (asm-generic/unistd.h). */
const PIDFD_OPEN = 434n;
/** linux/pidfd.h: PIDFD_GET_INFO for the first version of `struct pidfd_info`, and the requested fields. */
const GET_INFO = 0xc040_ff0bn;
const INFO_BYTES = 64;
const INFO_EXIT = 8n;
const EXIT_STATUS_AT = 60;

/** A process that need not be our child, held by a descriptor. */
export class ProcessHandle implements Disposable {
  constructor(private readonly fd: number) {}

  /**
   * Returns how it ended, as in wait(2), when its parent has waited for it. Undefined before that, and if the kernel
   * does not keep it (before Linux 6.15).
   */
  waitStatus(): number | undefined {
    const info = Buffer.alloc(INFO_BYTES);
    info.writeBigUInt64LE(INFO_EXIT);
    if (libc().ioctl(this.fd, GET_INFO, info) !== 0) return undefined;
    return (info.readBigUInt64LE() & INFO_EXIT) === 0n ? undefined : info.readInt32LE(EXIT_STATUS_AT);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Returns undefined if there is no such process, or no free descriptor. The caller disposes of it. */
export function holdProcess(pid: number): ProcessHandle | undefined {
  const fd = Number(libc().syscall(PIDFD_OPEN, pid, null, 0));
  return fd < 0 ? undefined : new ProcessHandle(fd);
}

/** The last field of /proc/PID/stat; proc(5) counts from 1, and the first two are the number and the name. */
const EXIT_CODE_FIELD = 52 - 3;

/**
 * Returns how a zombie ended, as in wait(2): many containers have an init that does not wait. Undefined if it does not
 * exist, another process began at `startTicks`, or the kernel hides it: then the field is 0.
 */
export function statusOfZombie(pid: number, startTicks: number): number | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  const stat = text === undefined ? undefined : parseStat(pid, text);
  if (text === undefined || stat?.startTicks !== startTicks || !isDead(stat) || !isOwn(pid)) return undefined;
  const status = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[EXIT_CODE_FIELD]);
  return Number.isInteger(status) ? status : undefined;
}

/** Whether all ids of a process, of its user and of its group, are the agent's (ptrace(2), access mode checking). */
function isOwn(pid: number): boolean {
  const status = readProcFile(`/proc/${pid}/status`) ?? '';
  const isAll = (name: string, own: number | undefined): boolean =>
    new RegExp(`^${name}:(?:\\s+${own}){4}$`, 'm').test(status);
  return isAll('Uid', process.geteuid?.()) && isAll('Gid', process.getegid?.());
}
