import { posix } from 'node:path';
import type { Where } from './paths.ts';
import type { Invocation } from './rule.ts';

/** More directories than these are none that rules know. */
const MAX_DIRECTORIES = 8;

/**
 * The directories that a command may be in: where it begins, and wherever its `cd` lead, whichever of them succeed.
 * What `repeats` may run them in another order, or more often.
 */
export function directoriesOf(cwd: string, parts: readonly Invocation[], repeats: boolean): Where {
  const targets: string[] = [];
  for (const { name, args } of parts) {
    if (name === undefined) continue;
    if (!name.isKnown || /^(?:pushd|popd|chdir)$/.test(name.text)) return undefined;
    if (name.text !== 'cd') continue;
    const [target, ...more] = args[0]?.text === '--' ? args.slice(1) : args;
    // Without a word it goes home; `cd -` goes back, to one of these.
    if (target?.isKnown === true && target.text === '-' && more.length === 0) continue;
    if (target?.isKnown !== true || more.length > 0 || /^[-~+]|^$/.test(target.text)) return undefined;
    if (repeats && !target.text.startsWith('/')) return undefined;
    targets.push(target.text);
  }
  let directories = new Set([posix.resolve(cwd)]);
  for (const target of targets) {
    const next = new Set(directories);
    for (const directory of directories) next.add(posix.resolve(directory, target));
    if (next.size > MAX_DIRECTORIES) return undefined;
    directories = next;
  }
  return [...directories];
}
