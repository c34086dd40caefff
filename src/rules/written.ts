import { posix } from 'node:path';
import { outputsOf } from './outputs.ts';
import type { Redirected } from './rule.ts';

/** Programs that run what files in a directory say, whatever their words are. */
const READERS = /^(?:make|gmake|npm|pnpm|yarn|git|npx|cargo|gradle|mvn|rake)$/;

/** The files that they read. */
const READ_BY_PROGRAMS =
  /(?:^|\/)(?:(?:GNU)?[Mm]akefile|.*\.mk|package\.json|\.npmrc|\.yarnrc(?:\.yml)?|\.gitconfig|\.gitattributes|\.gitmodules|Cargo\.toml|build\.rs|build\.gradle|pom\.xml|Rakefile)$|(?:^|\/)\.(?:git|config\/git)\/(?:.*\/)?(?:config|hooks\/[^/]+)$/;

/** Whether one part writes a file that another part runs: what is in it, rules do not read. */
export function runsWhatItWrites(parts: readonly Redirected[]): boolean {
  const isRead = parts.some(({ name }) => name?.isKnown === true && READERS.test(posix.basename(name.text)));
  if (!isRead) return false;
  // What is touched has nothing new in it.
  const files = parts.flatMap((part) => [...part.writes, ...(part.name?.text === 'touch' ? [] : outputsOf(part))]);
  return files.some(({ text, isKnown }) => READ_BY_PROGRAMS.test(text) || (!isKnown && text === ''));
}
