import { readFileSync } from 'node:fs';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

/** What an installation remembers of itself, in `install.json`. */
const manifestSchema = Type.Object({
  version: Type.String(),
  /** Each file it wrote, with the SHA-256 of what it wrote: another sum tells that the owner changed it. */
  files: Type.Record(Type.String(), Type.String()),
  user: Type.String(),
  watchdog: Type.Union([Type.Literal('timer'), Type.Literal('cron'), Type.Literal('none')]),
  domain: Type.Union([Type.String(), Type.Null()]),
  /** Logs of the original agent that are rotated as well. */
  oldLogs: Type.Array(Type.String()),
  packaged: Type.Boolean(),
  /** Groups of the logs that the agent's user was put into (`--look-logs`); without it: into none. */
  lookLogs: Type.Optional(Type.Array(Type.String())),
});

export type Manifest = Static<typeof manifestSchema>;

/** The manifest in `path`; undefined when there is none or it was damaged. */
export function readManifest(path: string): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Value.Check(manifestSchema, value) ? value : undefined;
  } catch {
    // Missing, or no JSON: the machine is treated as one without Agent3.
    return undefined;
  }
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** SHA-256 in hexadecimal. */
export function sha256(content: string | Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(content).digest('hex');
}
