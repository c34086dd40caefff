import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mountDevices, sealDevices } from '../linux/libc.ts';
import { viewPath, withUmask } from './view-place.ts';

/** The devices that every program may use: name, major and minor number (Documentation/admin-guide/devices.txt). */
const DEVICES = { null: [1, 3], zero: [1, 5], full: [1, 7], random: [1, 8], urandom: [1, 9], tty: [5, 0] } as const;
const LINKS = { fd: '/proc/self/fd', stdin: 'fd/0', stdout: 'fd/1', stderr: 'fd/2' } as const;

/** Their names. */
export const DEVICE_NAMES = Object.keys(DEVICES);

let view: { readonly path: string | undefined } | undefined;

/**
 * Returns a directory with the devices of a sandbox, on a file system that nothing can be written to, for agents that
 * are root; undefined if it cannot be made. bwrap(1) itself binds the machine's own nodes, whose mode a command that
 * runs as root may change: the whole machine would find /dev/null closed. Here it may not, and the devices can still be
 * used: the file system is read-only, not the devices of its nodes. It has no pseudo-terminals.
 */
export function deviceView(): string | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  view ??= { path: withUmask(0o022, make) };
  return view.path;
}

function make(): string | undefined {
  try {
    const path = viewPath('dev');
    mkdirSync(path);
    if (!mountDevices(path)) return undefined;
    mkdirSync(join(path, 'shm'));
    for (const [name, [major, minor]] of Object.entries(DEVICES)) {
      const argv = ['/bin/mknod', '-m', '666', join(path, name), 'c', String(major), String(minor)];
      if (Bun.spawnSync(argv, { stdio: ['ignore', 'ignore', 'ignore'] }).exitCode !== 0) return undefined;
    }
    for (const [name, target] of Object.entries(LINKS)) symlinkSync(target, join(path, name));
    return sealDevices(path) ? path : undefined;
  } catch {
    // No room for it, or no right to mount.
    return undefined;
  }
}
