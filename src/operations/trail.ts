import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Verdict } from '../approvals/approvals.ts';
import type { ApprovalRequest } from '../approvals/request.ts';
import { MachineRefused } from '../core/errors.ts';
import { type KnownSecrets, maskSecrets } from '../core/secrets.ts';
import type { Session, StreamName } from '../sessions/session.ts';
import { STREAMS } from '../sessions/session.ts';
import type { Call } from './operation.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A command as it is started. */
export interface StartDetails {
  readonly cmd: string;
  readonly cwd: string;
  readonly user: string;
  readonly isSandboxed: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly input: string;
  readonly execution_seconds: number;
}

/** Where the lines of the record go. */
export interface AuditSink {
  /** Throws when the line cannot be written. */
  write(fields: Fields): void;
  /** About what has happened already: a line that cannot be written now comes later. */
  writeLater(fields: () => Fields): void;
}

/** Output up to this is hashed before the answer leaves (2 ms); the hash of more comes in a line of its own. */
const HASHED_AT_ONCE_BYTES = 1_048_576;
const PIECE_BYTES = 262_144;

/** Characters of a command in the record; the whole is in the session, and its hash here. */
const SHOWN_CHARS = 8192;

/** Writes the record of what the agent is told to do and does. Values that look like secrets are masked. */
export class Trail {
  constructor(
    private readonly record: AuditSink | undefined,
    private readonly secrets: KnownSecrets,
  ) {}

  /** A command is about to start. Throws `MachineRefused` when that cannot be recorded: it must not start then. */
  started(session: Session, { cmd, cwd, user, isSandboxed, env, stdin, input, execution_seconds }: StartDetails): void {
    const { key, decision } = session.record;
    this.#write({
      event: 'start',
      ...this.#who(session),
      ...this.#what(cmd),
      cwd,
      user,
      ...(isSandboxed && { sandbox: true }),
      ...(decision?.rule !== undefined && { rule: decision.rule }),
      ...(decision?.by !== undefined && { approved_by: decision.by }),
      ...(key !== null && { key: this.#mask(key) }),
      ...(Object.keys(env).length > 0 && { env: Object.keys(env) }),
      ...(stdin !== '' && { stdin_bytes: Buffer.byteLength(stdin) }),
      ...(input !== 'closed' && { input }),
      limit_seconds: execution_seconds,
    });
  }

  /** A command could not be started after all. */
  failed(session: Session, fault: unknown): void {
    const reason = this.#mask(fault instanceof Error ? fault.message : String(fault));
    this.record?.writeLater(() => ({ event: 'end', ...this.#who(session), status: 'not started', reason }));
  }

  /** A command has ended, or was not run. */
  ended(session: Session): void {
    const { status, exit_code, duration_ms, stdout_bytes, stderr_bytes, survivors, usage } = session.record;
    const isSmall = stdout_bytes + stderr_bytes <= HASHED_AT_ONCE_BYTES;
    const hashes = isSmall ? hashesNow(session) : {};
    this.record?.writeLater(() => ({
      event: 'end',
      ...this.#who(session),
      status,
      exit_code,
      duration_ms,
      stdout_bytes,
      stderr_bytes,
      ...hashes,
      ...(survivors > 0 && { survivors }),
      ...(usage !== undefined && { usage }),
    }));
    if (!isSmall && this.record !== undefined) void this.#hashLater(session);
  }

  /** Rules have denied a command. Throws `MachineRefused` when that cannot be recorded. */
  denied(session: Session, cmd: string, reason: string, rule: number | undefined): void {
    const more = rule === undefined ? {} : { rule };
    this.#write({
      event: 'decision',
      ...this.#who(session),
      ...this.#what(cmd),
      decision: 'denied',
      ...more,
      reason: this.#mask(reason),
    });
  }

  /** A request for approval, and what became of it. */
  approval(request: ApprovalRequest, verdict: Verdict | undefined): void {
    const { session, token, address, cmd, profile, reason } = request;
    const what =
      verdict === undefined
        ? { decision: 'asked', reason }
        : { decision: verdict.kind, by: verdict.by, reason: verdict.why };
    const masked = { ...what, reason: this.#mask(what.reason ?? '') };
    this.record?.writeLater(() => ({
      event: 'decision',
      session,
      token,
      address,
      profile,
      ...this.#what(cmd),
      ...masked,
    }));
  }

  /** An operation other than a command was asked for; `fault` is what it was refused with. */
  operation(op: string, args: unknown, call: Call, fault: string | undefined): void {
    this.#write({
      event: 'operation',
      op,
      token: call.principal,
      address: call.address,
      ...argumentsOf(args),
      ...(fault !== undefined && { refused: this.#mask(fault) }),
    });
  }

  /** The agent itself has begun or ends. */
  agent(what: string, more: Fields = {}): void {
    this.record?.writeLater(() => ({ event: 'agent', what, ...more }));
  }

  #write(fields: Fields): void {
    try {
      this.record?.write(fields);
    } catch (error) {
      throw new MachineRefused(
        'Nothing was done: the audit record of this server cannot be written, most likely because its disk is full. Tell the owner of the server.',
        error,
      );
    }
  }

  #who({ id, record: { principal, address, profile } }: Session) {
    return {
      session: id,
      token: principal,
      ...(address !== undefined && { address }),
      ...(profile !== undefined && { profile }),
    };
  }

  #what(cmd: string) {
    const masked = this.#mask(cmd);
    const cut = masked.length > SHOWN_CHARS && { cmd_chars: cmd.length };
    return { cmd: masked.slice(0, SHOWN_CHARS), ...cut };
  }

  #mask(text: string): string {
    return maskSecrets(text, this.secrets).text.toWellFormed();
  }

  async #hashLater(session: Session): Promise<void> {
    const hashes: Record<string, string> = {};
    try {
      for (const stream of STREAMS)
        hashes[`${stream}_sha256`] = await hashFile(session.path(stream), sizeOf(session, stream));
    } catch {
      // The session was closed meanwhile: its output is gone, and its hash with it.
      return;
    }
    this.record?.writeLater(() => ({ event: 'output', ...this.#who(session), ...hashes }));
  }
}

function sizeOf({ record }: Session, stream: StreamName): number {
  return stream === 'stdout' ? record.stdout_bytes : record.stderr_bytes;
}

function hashesNow(session: Session): Readonly<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const stream of STREAMS) {
    const size = sizeOf(session, stream);
    if (size === 0) continue;
    try {
      hashes[`${stream}_sha256`] = hashStart(session.path(stream), size);
    } catch {
      // Somebody removed the file; the sizes are in the record.
    }
  }
  return hashes;
}

function hashStart(path: string, size: number): string {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(size);
    const length = readSync(fd, bytes, 0, size, 0);
    return new Bun.CryptoHasher('sha256').update(bytes.subarray(0, length)).digest('hex');
  } finally {
    closeSync(fd);
  }
}

/** The first `size` bytes of a file, without holding up anybody. */
async function hashFile(path: string, size: number): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256');
  await using file = await open(path);
  const buffer = Buffer.alloc(PIECE_BYTES);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(PIECE_BYTES, size - at), at);
    if (bytesRead === 0) break;
    hasher.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hasher.digest('hex');
}

/** What was asked, without what may be a secret: of input, how much. */
function argumentsOf(args: unknown): Fields {
  if (typeof args !== 'object' || args === null) return {};
  const { session, signal, input, offset, limit, stream, wait } = args as Record<string, unknown>;
  return {
    ...(typeof session === 'string' && /^[0-9a-f-]{36}$/i.test(session) && { session }),
    ...(typeof signal === 'string' && { signal: signal.slice(0, 10) }),
    ...(typeof input === 'string' && { input_bytes: Buffer.byteLength(input) }),
    ...Object.fromEntries(Object.entries({ offset, limit, wait }).filter(([, value]) => typeof value === 'number')),
    ...(typeof stream === 'string' && { stream: stream.slice(0, 10) }),
  };
}
