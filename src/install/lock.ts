import { fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { tryLock } from '../linux/libc.ts';
import { lockHolder } from '../linux/lock.ts';
import { InstallFault } from './fault.ts';
import { PATHS } from './layout.ts';

/**
 * Takes the lock of the installers, until the process ends. Throws `InstallFault` while another one is at work on this
 * machine, or has just removed the file.
 */
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
