import { closeSync } from 'node:fs';
import { libc } from './libc.ts';
import { isDead, parseStat, readProcFile } from './proc.ts';

/** pidfd_open(2), the same on every architecture (asm-generic/unistd.h). */
const PIDFD_OPEN = 434n;
/** linux/pidfd.h: PIDFD_GET_INFO for the first version of `struct pidfd_info`, and what of it is asked for. */
const GET_INFO = 0xc040_ff0bn;
const INFO_BYTES = 64;
const INFO_EXIT = 8n;
const EXIT_STATUS_AT = 60;

/** A process that may be nobody's child of ours, held by a descriptor. */
export class ProcessHandle implements Disposable {
  constructor(private readonly fd: number) {}

  /**
   * How it ended, as wait(2) has it, when its parent has waited for it. Undefined before that, and where the kernel
   * keeps no such thing (before Linux 6.15).
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

/** Undefined where there is no such process, or no descriptor to be had. The caller disposes of it. */
export function holdProcess(pid: number): ProcessHandle | undefined {
  const fd = Number(libc().syscall(PIDFD_OPEN, pid, null, 0));
  return fd < 0 ? undefined : new ProcessHandle(fd);
}

/** The last field of /proc/PID/stat; proc(5) counts from 1, and the first two are the number and the name. */
const EXIT_CODE_FIELD = 52 - 3;

/**
 * How a process ended, as wait(2) has it, that nobody has waited for: many containers have an init that does not.
 * Undefined where it is not there, another began at `startTicks`, or the kernel does not tell us: then it says 0.
 */
export function statusOfZombie(pid: number, startTicks: number): number | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  const stat = text === undefined ? undefined : parseStat(pid, text);
  if (text === undefined || stat?.startTicks !== startTicks || !isDead(stat) || !isOwn(pid)) return undefined;
  const status = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[EXIT_CODE_FIELD]);
  return Number.isInteger(status) ? status : undefined;
}

/** Whether all numbers of a process, of its user and of its group, are the agent's (ptrace(2), access mode checking). */
function isOwn(pid: number): boolean {
  const status = readProcFile(`/proc/${pid}/status`) ?? '';
  const isAll = (name: string, own: number | undefined): boolean =>
    new RegExp(`^${name}:(?:\\s+${own}){4}$`, 'm').test(status);
  return isAll('Uid', process.geteuid?.()) && isAll('Gid', process.getegid?.());
}
