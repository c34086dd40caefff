import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { command } from '../../helpers/debian.ts';
import { BOOT_MODULES, INIT } from './recipe.ts';

const APPLETS = ['sh', 'mount', 'insmod', 'sleep', 'switch_root', '['] as const;

/**
 * Writes `directory/initrd`, the smallest thing that finds the root disk: busybox, and the kernel modules of the boot
 * with all that they depend on. `modules` is the kernel's own directory, with the tables of depmod.
 */
export function buildInitrd(directory: string, modules: string): void {
  const tree = join(directory, 'initrd-tree');
  for (const name of ['bin', 'dev', 'root', 'modules']) mkdirSync(join(tree, name), { recursive: true });
  cpSync('/bin/busybox', join(tree, 'bin/busybox'));
  for (const name of APPLETS) symlinkSync('busybox', join(tree, 'bin', name));
  const table = readFileSync(join(modules, 'modules.dep'), 'utf8').split('\n');
  const paths = new Set(BOOT_MODULES.flatMap((name) => withDependencies(table, name)));
  for (const path of paths) cpSync(join(modules, path), join(tree, 'modules', basename(path)));
  writeFileSync(join(tree, 'modules/order'), [...paths].map((path) => `${basename(path)}\n`).join(''));
  writeFileSync(join(tree, 'init'), INIT, { mode: 0o755 });
  command(['sh', '-c', 'find . | cpio --quiet -o -H newc > ../initrd'], tree);
  rmSync(tree, { recursive: true });
}

/** The files of a module and of those it needs, in the order in which they are loaded. Built-in ones have none. */
function withDependencies(table: readonly string[], name: string): string[] {
  const line = table.find((one) => new RegExp(`(^|/)${name}\\.ko\\S*:`).test(one));
  if (line === undefined) return [];
  const [own = '', dependencies = ''] = line.split(':');
  return [...dependencies.trim().split(' ').filter(Boolean).reverse(), own];
}

/** The only kernel of `root`: its directory below lib/modules. Throws when it is missing. */
export function kernelModules(root: string): string {
  const versions = readdirSync(join(root, 'lib/modules'));
  const [version] = versions;
  if (version === undefined || versions.length > 1) throw new Error(`not one kernel, but ${versions.length}`);
  return join(root, 'lib/modules', version);
}
