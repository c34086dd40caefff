/**
 * The refusal of a request. A command that fails is never an error: it is an outcome in a 200. `error` is the fixed
 * text of the contract; `message` says what happened and what to do instead.
 */
export abstract class AgentError extends Error {
  abstract readonly status: number;
  /** The fixed text that clients of the original know. */
  abstract readonly error: string;
  readonly headers: Readonly<Record<string, string>> = {};

  constructor(readonly hint?: string) {
    super(hint);
    this.name = new.target.name;
  }
}

/** Returns a class for a refusal that only needs a status and a text. */
function refusal(status: number, error: string) {
  return class extends AgentError {
    readonly status = status;
    readonly error = error;
  };
}

export class InvalidJson extends refusal(400, 'Invalid JSON') {}
export class InvalidOperation extends refusal(400, 'Invalid op') {}
export class MissingCommand extends refusal(400, 'Missing cmd') {}
export class InvalidArguments extends refusal(400, 'Invalid args') {}

/** Identifies a refusal for programs, if its status does not: no program reads the sentences. */
export const CODE_HEADER = 'agent3-code';

export class BackgroundOff extends InvalidArguments {
  static readonly code = 'background-off';
  override readonly headers = { [CODE_HEADER]: BackgroundOff.code };

  constructor() {
    super('background is switched off on this server. Run the command without it.');
  }
}

export class InvalidRequest extends refusal(400, 'Invalid request') {}
export class ForeignOrigin extends refusal(403, 'Origin not allowed') {}

/** A token that is known and was refused all the same. */
export interface RefusedToken {
  readonly principal: string;
  readonly why: string;
  /** It was genuine and has ended: sending it is not guessing. */
  readonly isSpent?: true;
}

export class Unauthorized extends refusal(403, 'Unauthorized') {
  /** `known` is only for the record of the owner: the answer is the same for every invalid token. */
  constructor(
    hint?: string,
    readonly known?: RefusedToken,
  ) {
    super(hint);
  }
}

/** The same if clients begin their sign-in with it (RFC 6750, RFC 9110). */
export class SignInRequired extends refusal(401, 'Unauthorized') {
  override readonly headers: Readonly<Record<string, string>>;

  /** `more`: where a client finds how to sign in. */
  constructor(hint: string | undefined, hadToken: boolean, more?: string) {
    super(hint);
    const parameters = [...(hadToken ? ['error="invalid_token"'] : []), ...(more === undefined ? [] : [more])];
    this.headers = { 'www-authenticate': ['Bearer', parameters.join(', ')].join(' ').trim() };
  }
}

export class SessionNotFound extends refusal(404, 'Session not found') {}
export class FileNotFound extends refusal(404, 'Not found') {}
/** A file has changed since the call read it. */
export class FileConflict extends refusal(409, 'Conflict') {}
export class RouteNotFound extends refusal(404, 'Not found') {}
export class MethodNotAllowed extends refusal(405, 'Method not allowed') {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(allow: string, hint: string) {
    super(hint);
    this.headers = { allow };
  }
}

/** The object of a call has changed meanwhile, or is in use. */
export class Conflict extends refusal(409, 'Conflict') {}
export class RangeRefused extends refusal(416, 'Range not satisfiable') {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(bytes: number) {
    super(`The file has ${bytes} bytes.`);
    this.headers = { 'content-range': `bytes */${bytes}` };
  }
}
export class RequestTooLarge extends refusal(413, 'Request too large') {}
export class UnsupportedEncoding extends refusal(415, 'Unsupported encoding') {}
export class TooManyRequests extends refusal(429, 'Too many requests') {
  override headers: Readonly<Record<string, string>>;

  constructor(retryAfterSeconds: number, hint: string) {
    super(hint);
    this.headers = { 'retry-after': String(Math.ceil(retryAfterSeconds)) };
  }

  /** Returns the same refusal with `more` after its sentence. */
  with(more: string): TooManyRequests {
    return new TooManyRequests(Number(this.headers['retry-after']), `${this.hint}${more}`);
  }
}

export class GuessingRefused extends TooManyRequests {
  static readonly code = 'wrong-tokens';
  constructor(retryAfterSeconds: number) {
    super(
      retryAfterSeconds,
      `Too many wrong tokens came from this address. Wait ${retryAfterSeconds} seconds, then send the right one.`,
    );
    this.headers = { ...this.headers, [CODE_HEADER]: GuessingRefused.code };
  }
}

/** The agent stops, or is restarted: a repeat in some seconds reaches the next one. */
export class ShuttingDown extends refusal(503, 'Shutting down') {
  override readonly headers = { 'retry-after': '2' };

  constructor() {
    super('Agent3 is stopping. Repeat the call in some seconds, with the same key if it had one.');
  }
}

/** A server of the fleet cannot be reached: nothing was run there. */
export class ServerUnreachable extends refusal(503, 'Unreachable') {}

/** A call was sent to a server of the fleet, and no answer has come: it may have run. */
export class OutcomeUnknown extends refusal(504, 'Unknown outcome') {}

/** The refusal of a call by a server of the fleet, as it came from there. */
export class ServerRefusal extends AgentError {
  constructor(
    readonly status: number,
    readonly error: string,
    hint: string | undefined,
    override readonly headers: Readonly<Record<string, string>>,
  ) {
    super(hint);
  }
}

/** The owner has frozen the server. Without a time to come back: it may thaw in an hour, or tomorrow. */
export class Frozen extends refusal(503, 'Frozen') {
  constructor(reason: string, consequence: string) {
    super(
      `The owner has frozen this server (${reason}). ${consequence} read_session, list_sessions and server_info still answer; repeat the call after the thaw.`,
    );
  }
}

/** The profile of a token does not allow a call. */
export class OperationNotAllowed extends refusal(403, 'Forbidden') {}

/** Something that a call needs is missing on this server; the message says what, and what to do. */
const NOT_AVAILABLE = 'Not available';

/** The profile of a token does not work on this machine as its file requires; a `cause` is for the owner's log. */
export class ProfileUnavailable extends refusal(503, NOT_AVAILABLE) {
  constructor(
    hint: string,
    override readonly cause?: unknown,
  ) {
    super(hint);
  }
}

/** What a token may do is unknown: it is gone itself, or its profile is. */
export class AccessLapsed extends AgentError {
  readonly status: number;
  readonly error: string;

  /** `why` is a sentence without its full stop, which `consequence` continues; `advice` is a whole sentence. */
  constructor(
    readonly gone: 'token' | 'profile',
    readonly why: string,
    readonly advice: string,
    readonly consequence = '',
  ) {
    super(`${why}${consequence}. ${advice}`);
    this.status = gone === 'token' ? 403 : 503;
    this.error = gone === 'token' ? 'Unauthorized' : NOT_AVAILABLE;
  }

  /** Returns the same, with the consequence for a call: `, so nothing was done`. */
  with(consequence: string): AccessLapsed {
    return new AccessLapsed(this.gone, this.why, this.advice, consequence);
  }
}

/** A client has signed in, and the owner has not confirmed it at a terminal yet. */
export class NotKeptYet extends refusal(503, NOT_AVAILABLE) {
  override readonly headers = { 'retry-after': '5' };

  constructor() {
    super('The owner of the server has not confirmed this connection yet, so nothing was done. Try again in a moment.');
  }
}

/**
 * The machine refused what a command or a session needs: a full disk, no more processes, a directory without
 * permission.
 */
export class MachineRefused extends refusal(503, NOT_AVAILABLE) {
  constructor(
    hint: string,
    override readonly cause: unknown,
  ) {
    super(hint);
  }
}

/** The agent has as many files open as it may; nothing was run. */
export class TooManyFiles extends MachineRefused {
  constructor(cause: unknown) {
    super(
      'Nothing was run: the agent has as many files open as it may. Repeat the call in some seconds, and run fewer commands at once; the owner of the server can raise the limit (LimitNOFILE in the unit, ulimit -n).',
      cause,
    );
  }
}

/** Returns the errno name (`ENOSPC`) of a system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Describes a system error with its file, where the system names it. */
export function describeRefusal(error: unknown): string {
  const path = error instanceof Error && 'path' in error ? error.path : undefined;
  return `${typeof path === 'string' ? `${path}: ` : ''}${describeErrno(error)}`;
}

/** Whether a permission is missing. */
export function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(errnoOf(error) ?? '');
}

/** Whether the agent, or the machine, has as many files open as it may. */
export function isOutOfFiles(error: unknown): boolean {
  return ['EMFILE', 'ENFILE'].includes(errnoOf(error) ?? '');
}

const ERRNO_SENTENCES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'it does not exist',
  ENOTDIR: 'it is not a directory',
  EISDIR: 'it is a directory',
  EMFILE: 'the agent has too many open files',
  ENFILE: 'the machine has too many open files',
  EAGAIN: 'the machine has no room for another process',
  ENOMEM: 'the machine is out of memory',
  EIO: 'the disk reports an error',
  // Of zlib.
  Z_DATA_ERROR: 'the compressed file is damaged',
  Z_BUF_ERROR: 'the compressed file is cut off',
};

/** What should be a file is a pipe, a device or a socket. Reading it may wait forever. */
export class NotAFile extends Error {}

/** Describes a system error for a message: `the disk is full (ENOSPC)`. */
export function describeErrno(error: unknown): string {
  if (error instanceof NotAFile) return 'it is not a regular file';
  const code = errnoOf(error);
  if (code === undefined) return 'an unexpected error';
  if (code === 'EAGAIN' && error instanceof Error && 'syscall' in error && error.syscall === 'read')
    return 'there is nothing to read in it now (EAGAIN)';
  return `${ERRNO_SENTENCES[code] ?? 'the system refused it'} (${code})`;
}
