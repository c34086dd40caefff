import { readFileSync } from 'node:fs';
import { formatEnvValue, parseEnvFile } from '../../ops/env-file.ts';
import { PATHS } from './layout.ts';

/** The settings in the text of a settings file. */
export function parseSettings(text: string): Record<string, string> {
  return parseEnvFile(text);
}

/**
 * `text` with these settings changed: the line of the name, else its line that is commented out, else a new one at the
 * end, in a form that systemd and shells read the same. Everything else stays as the owner wrote it.
 */
export function changeSettings(text: string, changes: Readonly<Record<string, string>>): string {
  const lines = text.split('\n');
  for (const [name, value] of Object.entries(changes)) {
    const line = `${name}=${formatEnvValue(value)}`;
    const at =
      findLine(lines, new RegExp(`^\\s*${name}\\s*=`)) ?? findLine(lines, new RegExp(`^\\s*#\\s*${name}\\s*=`));
    if (at !== undefined) lines[at] = line;
    else lines.splice(lines.at(-1) === '' ? -1 : lines.length, 0, line);
  }
  return lines.join('\n');
}

function findLine(lines: readonly string[], pattern: RegExp): number | undefined {
  const at = lines.findLastIndex((line) => pattern.test(line));
  return at === -1 ? undefined : at;
}

/** The settings of the installed service; none where it is not installed, or only root may read them. */
export function installedSettings(): Readonly<Record<string, string | undefined>> {
  try {
    return parseSettings(readFileSync(PATHS.settings, 'utf8'));
  } catch {
    // Not installed, or not root.
    return {};
  }
}

/** The key of the audit record of the installed service; undefined where there is none, or only root may read it. */
export function installedAuditKey(): string | undefined {
  return installedSettings()['AGENT3_AUDIT_KEY'] || undefined;
}
