import { join } from 'node:path';
import { command } from './debian.ts';

/** Compiles a program of this directory, which needs no library there; returns its path. */
export function compiled(name: 'attempt' | 'broken' | 'spy', path = join(import.meta.dir, '../../dist', name)): string {
  command(['gcc', '-O1', '-static', '-o', path, join(import.meta.dir, `${name}.c`)]);
  return path;
}
