import { MAX_PATH_BYTES } from '../lib/limits.ts';
import type { Origin } from '../sessions/via.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The caller. */
export interface Caller extends Pick<Origin, 'via'> {
  readonly principal: string;
  readonly address: string;
}

/** Returns the fields of the line of an operation. */
export function operationLine(op: string, args: unknown, { principal, address, via }: Caller): Fields {
  return { event: 'operation', ...via, op, token: principal, address, ...argumentsOf(args, via) };
}

/** Returns the path that an operation is about. */
export function pathIn(args: unknown): Fields {
  const path = typeof args === 'object' && args !== null && 'path' in args ? args.path : undefined;
  return typeof path === 'string' ? { path: path.slice(0, MAX_PATH_BYTES) } : {};
}

/** Returns the arguments without possible secrets: of input, only its length. */
function argumentsOf(args: unknown, via: Origin['via']): Fields {
  if (typeof args !== 'object' || args === null) return {};
  const { cmd, session, signal, input, offset, limit, stream, wait } = args as Record<string, unknown>;
  return {
    ...(via !== undefined && typeof cmd === 'string' && { cmd_sha256: sha256(cmd) }),
    ...(typeof session === 'string' && /^[0-9a-f-]{36}$/i.test(session) && { session }),
    ...(typeof signal === 'string' && { signal: signal.slice(0, 10) }),
    ...(typeof input === 'string' && { input_bytes: Buffer.byteLength(input), input_sha256: sha256(input) }),
    ...Object.fromEntries(Object.entries({ offset, limit, wait }).filter(([, value]) => typeof value === 'number')),
    ...(typeof stream === 'string' && { stream: stream.slice(0, 10) }),
  };
}

function sha256(text: string): string {
  return Bun.SHA256.hash(text, 'hex');
}
