import { type ApprovalRequest, digestOf } from '../access/approval-request.ts';
import type { Verdict } from '../access/approvals.ts';
import { describeBeginning, type HeldContext } from '../contexts/held-context.ts';
import { AgentError, MachineRefused, type RefusedToken } from '../lib/errors.ts';
import { type KnownSecrets, maskCommand, maskSecrets } from '../secrets/secrets.ts';
import { type Session, STREAMS } from '../sessions/session.ts';
import type { AuditLog } from './audit-log.ts';
import { hashesNow, hashFile } from './chain.ts';
import { type Caller, operationLine, pathIn } from './operation-line.ts';

type Fields = Readonly<Record<string, unknown>>;

interface StartDetails {
  readonly cmd: string;
  readonly cwd: string;
  readonly user: string;
  readonly isSandboxed: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly input: string;
  readonly execution_seconds: number;
  readonly dialog?: readonly { readonly expect: string; readonly send: string }[];
  readonly held?: HeldContext;
}

/** Output up to this size is hashed before the answer is sent (2 ms); the hash of more comes in a separate line. */
const HASHED_AT_ONCE_BYTES = 1_048_576;

/** The digests of contexts that are remembered. */
const MOST_CONTEXTS = 1000;

/** The grant of a line. */
export interface GrantOnRecord {
  readonly id: string;
  readonly principal: string;
}

/** The console's description of a sign-in. */
export interface ConsoleSignIn {
  readonly what: 'signed in' | 'signed out' | 'a wrong passkey';
  /** The owner of the passkey; undefined: nobody. */
  readonly by: string | undefined;
  readonly address: string;
}

/** The fields of a file on record. */
export interface FileOnRecord extends Fields {
  /** Its real path. */
  readonly path: string;
}

/** Records what the agent is asked to do and does. Values that look like secrets are masked. */
export class Trail {
  /** Digests of the contexts that are on record in full. */
  readonly #contexts = new Set<string>();

  constructor(
    private readonly record: Pick<AuditLog, 'write' | 'writeLater' | 'synced'> | undefined,
    private readonly secrets: KnownSecrets,
  ) {}

  /** A command is about to start. Throws `MachineRefused` if that cannot be recorded: it must not start then. */
  started(session: Session, details: StartDetails): void {
    const { cmd, cwd, user, isSandboxed, env, stdin, input, execution_seconds, held, dialog } = details;
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
      ...(decision?.allowances !== undefined && { allowance: decision.allowances }),
      ...(key !== null && { key: this.#mask(key) }),
      ...(Object.keys(env).length > 0 && { env: Object.keys(env), env_sha256: sha256(wordsOf(env)) }),
      ...(stdin !== '' && { stdin_bytes: Buffer.byteLength(stdin), stdin_sha256: sha256(stdin) }),
      ...(held !== undefined && this.#contextOf(held)),
      ...(input !== 'closed' && { input }),
      ...(dialog !== undefined && { dialog: dialog.map((step) => this.#stepOf(step)) }),
      limit_seconds: execution_seconds,
    });
  }

  /** Of typed text, only its length: it may be a password, which its hash would reveal. */
  #stepOf({ expect, send }: { readonly expect: string; readonly send: string }): Fields {
    return { expect: this.#mask(expect), send_bytes: Buffer.byteLength(send) };
  }

  /** What a context brings to a command, in the first line with its digest: it seldom changes. */
  #contextOf({ name, sha256: digest, items }: HeldContext): Fields {
    const named = { context: name, context_sha256: digest };
    if (items.length === 0 || this.#contexts.has(digest)) return named;
    if (this.#contexts.size >= MOST_CONTEXTS) this.#contexts.clear();
    this.#contexts.add(digest);
    return { ...named, context_brings: this.#mask(describeBeginning(items)) };
  }

  /** A command could not be started after all. */
  failed(session: Session, fault: unknown): void {
    const reason = this.#mask(fault instanceof Error ? fault.message : String(fault));
    this.record?.writeLater(() => ({ event: 'end', ...this.#who(session), status: 'not started', reason }));
  }

  /** A command has ended, or was not run. */
  ended(session: Session): void {
    const { record } = session;
    const { status, exit_code, duration_ms, stdout_bytes, stderr_bytes, survivors, usage, decision } = record;
    const isSmall = stdout_bytes + stderr_bytes <= HASHED_AT_ONCE_BYTES;
    const hashes = isSmall ? hashesNow(session) : {};
    this.record?.writeLater(() => ({
      event: 'end',
      ...this.#who(session),
      status,
      ...(status === 'denied' && { reason: this.#mask(decision?.reason ?? '') }),
      ...(record.taken_back === true && { taken_back: true }),
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

  /** Rules have denied a command. Throws `MachineRefused` if that cannot be recorded. */
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

  /** A request for approval, and its result. */
  approval(request: ApprovalRequest, verdict: Verdict | undefined): void {
    const { server, session, token, address, cmd, profile, reason, file, plan } = request;
    const what =
      verdict === undefined
        ? { decision: 'asked', reason }
        : { decision: verdict.kind, by: verdict.by, reason: verdict.why };
    this.record?.writeLater(() => ({
      event: 'decision',
      ...(server !== undefined && { server }),
      session,
      token,
      address,
      profile,
      ...this.#what(cmd),
      ...(file !== undefined && { before_sha256: file.before_sha256, after_sha256: file.after_sha256 }),
      digest: digestOf(request),
      // In full if somebody has signed: reading that requires no other file.
      ...(plan !== undefined && (verdict?.proof === undefined ? { run: plan.run } : { plan })),
      ...what,
      reason: this.#mask(what.reason ?? ''),
      ...(verdict?.proof !== undefined && { signed: verdict.proof }),
    }));
  }

  /**
   * An operation other than a command is about to be done, or answered. Throws `MachineRefused` if that cannot be
   * recorded.
   */
  operation(op: string, args: unknown, caller: Caller): void {
    this.#write({ ...operationLine(op, args, caller), ...this.#masked(pathIn(args)) });
  }

  /**
   * A file is about to be answered or changed: its path, hashes and sizes. Throws `MachineRefused` if that cannot be
   * recorded.
   */
  file(op: string, { principal, address, via }: Caller, { path, ...more }: FileOnRecord): void {
    this.#write({ event: 'operation', ...via, op, token: principal, address, path: this.#mask(path), ...more });
  }

  /** An operation was refused, or has failed, with `error`. */
  refused(op: string, args: unknown, caller: Caller, error: unknown): void {
    const fault = error instanceof AgentError ? `${error.error}: ${error.hint ?? ''}` : 'a fault of the agent';
    const line = { ...operationLine(op, args, caller), ...this.#masked(pathIn(args)), refused: this.#mask(fault) };
    this.record?.writeLater(() => line, true);
  }

  /** A command was requested again, by its key, and the output of the first one is read. Throws `MachineRefused`. */
  repeated(session: Session, caller: Caller): void {
    this.#write({ ...operationLine('shell', { session: session.id }, caller), repeat: true });
  }

  /** Resolves when everything on record so far is on the disk. Rejects if it does not get there. */
  async synced(): Promise<void> {
    await this.record?.synced();
  }

  /** A token was refused, and is not recorded; its owner is, if `known`. */
  login(address: string, known: RefusedToken | undefined): void {
    const whose = known === undefined ? {} : { token: known.principal };
    this.record?.writeLater(() => ({ event: 'login', what: known?.why ?? 'a wrong token', ...whose, address }), true);
  }

  /** A sign-in at the owner's console, a sign-out or a failure; all of it as the console says. */
  console(what: ConsoleSignIn['what'], { by, address }: Omit<ConsoleSignIn, 'what'>): void {
    const line = { event: 'login', what: `${what} at the console`, ...this.#masked({ by, address }) };
    this.record?.writeLater(() => line, true);
  }

  /**
   * A grant is about to change, for the `change`th time: this is on record before anybody learns of it. Throws
   * `MachineRefused` if that cannot be recorded.
   */
  grantChanges(what: string, grant: GrantOnRecord, change: number, more: Fields = {}): void {
    this.#write({ event: 'grant', what, ...this.#grant(grant), change, ...this.#masked(more) });
  }

  /**
   * Something came with a one-time code of root's, or has happened to a grant: a `change` of it, or something frequent.
   */
  grant(what: string, grant: GrantOnRecord, more: Fields = {}): void {
    const line = { event: 'grant', what, ...this.#grant(grant), ...this.#masked(more) };
    this.record?.writeLater(() => line, !('change' in more));
  }

  #grant({ id, principal }: GrantOnRecord) {
    return { grant: id, token: principal };
  }

  /** Values that others have sent. */
  #masked(fields: Fields): Fields {
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? this.#mask(value) : value]),
    );
  }

  /** The agent itself has begun or ends, or its owner has done something at the console; `text` may be a secret. */
  agent(what: string, { text, ...more }: Fields & { readonly text?: string } = {}): void {
    const masked = text === undefined ? {} : { text: this.#mask(text) };
    this.record?.writeLater(() => ({ event: 'agent', what, ...more, ...masked }));
  }

  #write(fields: Fields): void {
    try {
      this.record?.write(fields);
    } catch (error) {
      if (error instanceof AgentError) throw error;
      throw new MachineRefused(
        `Nothing was done: the audit record of this server cannot be written (${error instanceof Error ? error.message : 'an unexpected error'}). Tell the owner of the server: agent3 doctor says what to do.`,
        error,
      );
    }
  }

  #who({ id, record: { principal, address, profile, via } }: Session) {
    return {
      ...via,
      session: id,
      token: principal,
      ...(address !== undefined && { address }),
      ...(profile !== undefined && { profile }),
    };
  }

  /** All of a command: the hash identifies what was run, whatever is masked. */
  #what(cmd: string) {
    return { cmd: maskCommand(cmd, this.secrets).toWellFormed(), cmd_sha256: sha256(cmd) };
  }

  #mask(text: string): string {
    return maskSecrets(text, this.secrets).toWellFormed();
  }

  async #hashLater(session: Session): Promise<void> {
    const hashes: Record<string, string> = {};
    try {
      for (const stream of STREAMS)
        hashes[`${stream}_sha256`] = await hashFile(session.openReading(stream), session.record[`${stream}_bytes`]);
    } catch {
      // The session was closed meanwhile: its output is gone, and so is the hash.
      return;
    }
    this.record?.writeLater(() => ({ event: 'output', ...this.#who(session), ...hashes }));
  }
}

function sha256(text: string): string {
  return Bun.SHA256.hash(text, 'hex');
}

/** Returns each variable as `NAME=value`, in the order of their code units. */
function wordsOf(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join('\0');
}
