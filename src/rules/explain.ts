import { decide } from './decide.ts';
import type { Decision, Ruleset } from './ruleset.ts';

/** What the rules say to a command that begins in a directory, in a shell; nothing is run. */
export function explain(
  rules: Ruleset,
  cmd: string,
  place: { readonly cwd: string; readonly shell: string },
): Decision {
  return decide(rules, { cmd, ...place, env: {}, stdin: '', isOpen: false });
}

/** A line of JSON for each line with a command, in their order: `action`, `reason`, `part`, `rule` (null: none). Empty lines have none. */
export async function* explainLines(
  lines: AsyncIterable<string>,
  look: (cmd: string) => Decision,
): AsyncGenerator<string> {
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const { action, reason, part, rule = null } = look(line);
    yield JSON.stringify({ action, reason, part, rule });
  }
}
