import { readFileSync } from 'node:fs';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { formatEnvValue, parseEnvFile } from '../../ops/env-file.ts';
import { BINARY, PACKAGED_BINARY, PATHS } from './layout.ts';

/** The manifest of an installation, `install.json`. */
const manifestSchema = Type.Object({
  version: Type.String(),
  /** Each written file with its SHA-256, to detect changes by the owner. */
  files: Type.Record(Type.String(), Type.String()),
  user: Type.String(),
  watchdog: Type.Union([Type.Literal('timer'), Type.Literal('cron'), Type.Literal('none')]),
  domain: Type.Union([Type.String(), Type.Null()]),
  oldLogs: Type.Array(Type.String()),
  packaged: Type.Boolean(),
  /** Log groups of the agent's user (`--look-logs`); none when missing. */
  lookLogs: Type.Optional(Type.Array(Type.String())),
  /** The URL of the owner's console; null without a console. Missing in older manifests. */
  console: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

export type Manifest = Static<typeof manifestSchema>;

/** Returns the manifest in `path`; undefined when it is missing or damaged. */
export function readManifest(path: string): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Value.Check(manifestSchema, value) ? value : undefined;
  } catch {
    // It is missing or not JSON: treated like a machine without Agent3.
    return undefined;
  }
}

/** Returns the path of the executable of an installation. */
export function installedBinary(manifest: Manifest): string {
  return manifest.packaged ? PACKAGED_BINARY : BINARY;
}

/** Returns the SHA-256 in hexadecimal digits. */
export function sha256(content: string | Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(content).digest('hex');
}

/**
 * Returns `text` with these settings changed: in the line of the name, else in its commented line, else in a new line at
 * the end, in a form that systemd and shells read the same. Everything else stays unchanged.
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
    return parseEnvFile(readFileSync(PATHS.settings, 'utf8'));
  } catch {
    // Not installed, or not root.
    return {};
  }
}

/** The settings of the installed console, its key among them; none where it is not installed, or only root may read them. */
export function installedConsoleSettings(): Readonly<Record<string, string | undefined>> {
  try {
    return parseEnvFile(readFileSync(PATHS.consoleSettings, 'utf8'));
  } catch {
    // Not installed, or not root.
    return {};
  }
}

/** Returns the key of the audit record of the installed service; undefined without one, or if only root may read it. */
export function installedAuditKey(): string | undefined {
  return installedSettings()['AGENT3_AUDIT_KEY'] || undefined;
}
