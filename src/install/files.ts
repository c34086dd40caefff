import { basename } from 'node:path';
import type { Changes } from './changes.ts';
import { InstallFault } from './fault.ts';
import { PATHS } from './layout.ts';
import { readText } from './machine.ts';
import { type Manifest, sha256 } from './manifest.ts';
import type { PlannedFile } from './plan.ts';

/** What became of the planned files. */
export interface Written {
  /** Path → SHA-256 of what the installer wrote, for the manifest. */
  readonly sums: Record<string, string>;
  /** Files that the owner has changed, and that were left as they are. */
  readonly kept: readonly string[];
}

/** Throws `InstallFault` for files that are in the way and are not the installer's own. */
export function refuseForeign(
  files: readonly { readonly path: string; readonly content: string }[],
  manifest: Manifest | undefined,
  changes: Changes,
  mayReplace: ReadonlySet<string>,
): void {
  const foreign = files.filter(({ path, content }) => {
    const there = readText(changes.at(path));
    return there !== undefined && there !== content && manifest?.files[path] === undefined && !mayReplace.has(path);
  });
  if (foreign.length === 0) return;
  throw new InstallFault(
    `not written by Agent3, and in its place: ${foreign.map(({ path }) => path).join(', ')}. Move it away, then run the installer again; nothing was changed`,
  );
}

/** Writes the planned files; one that the owner has changed since stays, and the new version is put aside. */
export function writeFiles(files: readonly PlannedFile[], manifest: Manifest | undefined, changes: Changes): Written {
  const sums: Record<string, string> = {};
  const kept: string[] = [];
  for (const { path, content, access } of files) {
    const sum = sha256(content);
    const written = manifest?.files[path];
    const there = readText(changes.at(path));
    const edited = written !== undefined && there !== undefined && sha256(there) !== written && there !== content;
    if (!edited) {
      changes.file(path, content, access);
      sums[path] = sum;
      continue;
    }
    // What the installer wrote last stays on record, so that the owner's change is known the next time as well.
    sums[path] = written;
    kept.push(path);
    if (written !== sum) changes.file(`${PATHS.newFiles}/${basename(path)}`, content, access);
  }
  return { sums, kept };
}

/** Removes files of an earlier installation that the new one has no more. */
export function removeObsolete(manifest: Manifest | undefined, current: ReadonlySet<string>, changes: Changes): void {
  for (const path of Object.keys(manifest?.files ?? {})) if (!current.has(path)) changes.remove(path);
}
