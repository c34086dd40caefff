import { constants, rmSync } from 'node:fs';
import { type FileHandle, rename, stat } from 'node:fs/promises';
import { describeErrno } from '../lib/errors.ts';
import type { AgentClient } from './agent-client.ts';
import { type Backoff, isTransient, isTransientOnceReached, retry } from './backoff.ts';
import { ClientFault, ConnectionBroken, CopyFault, faultOf, Refused } from './faults.ts';
import { hashOf, openLocal, piecesOf, writeAt } from './local-file.ts';
import { readStream } from './sessions.ts';

/** What a copy needs. */
export interface CopyDeps {
  readonly client: AgentClient;
  /** The server of a fleet whose hub the agent is. Undefined: the agent itself. */
  readonly server: string | undefined;
  /** Returns a new one for each file. */
  readonly backoff: () => Backoff;
  /** Called with the bytes copied so far, and the size of the file. */
  readonly progress: (passed: number, bytes: number) => void;
  /** Prints a line for the person. */
  readonly say: (text: string) => void;
}

/** The approval request, when a person must approve first. */
interface Waiting {
  readonly session?: string;
  readonly reason?: string;
}

interface DownloadLink {
  readonly url: string;
  readonly bytes: number;
  /** Octal digits. */
  readonly mode: string;
  readonly sha256?: string;
}

/** The state of an interrupted upload: the next offset, or that it is complete, with the hash. */
type Interrupted = { readonly offset: number } | { readonly sha256: string | undefined };

/** A disk may take long to sync a large file. A connection without traffic for longer has failed. */
const STALL_MS = 120_000;

/** Aborts a request without traffic, until it is disposed of. */
class Stall implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: Timer;

  constructor(private readonly url: string) {
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  renew(): void {
    this.#timer.refresh();
  }

  #start(): Timer {
    const fault = new ConnectionBroken(`${this.url} sent nothing for ${STALL_MS / 1000} s`);
    return setTimeout(() => this.#controller.abort(fault), STALL_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Copies a file to an agent and compares the SHA-256 of both. Resumes after a broken connection. Throws a
 * `ClientFault`.
 */
export async function sendFile(deps: CopyDeps, local: string, remote: string): Promise<void> {
  const { client, server } = deps;
  await using file = await openLocal(local, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = await file.stat();
  // Others have no size: their copy would be empty.
  if (!stat.isFile())
    throw new CopyFault(
      `${local} is not a regular file. To send what a program writes: PROGRAM | agent3 exec 'cat > FILE'`,
    );
  const { size, mode } = stat;
  const args = { ...(server !== undefined && { server }), path: remote, mode: octal(mode) };
  const backoff = deps.backoff();
  let link = await linkFrom<{ readonly url: string }>(deps, 'upload', args);
  let state: Interrupted = { offset: 0 };
  for (;;) {
    try {
      if ('sha256' in state) return requireSame(remote, state.sha256, await hashOf(file, size));
      const { offset } = state;
      const hash = new Bun.CryptoHasher('sha256');
      using stall = new Stall(client.url);
      const body = piecesOf(file, offset, size, (piece, at) => {
        hash.update(piece);
        stall.renew();
        backoff.reset();
        deps.progress(at, size);
      });
      const range = size === 0 ? {} : { 'content-range': `bytes ${offset}-${size - 1}/${size}` };
      const answer = await client.transfer(link.url, { method: 'PUT', body, headers: range, signal: stall.signal });
      const { sha256, ...waiting } = (await answer.json()) as { readonly sha256?: string } & Waiting;
      requireSame(remote, sha256, offset === 0 ? hash.digest('hex') : await hashOf(file, size));
      return await approval(deps, waiting);
    } catch (error) {
      const fault = clientFault(client, error);
      if (!mayGoOn(fault)) throw fault;
      await backoff.wait(fault);
      if (isLost(fault)) {
        link = await linkFrom(deps, 'upload', args);
        state = { offset: 0 };
      } else state = await retry(() => interruptedUpload(client, link.url), mayGoOn, backoff);
    }
  }
}

/** Like `w+`, but follows no symbolic link, which an earlier copy may have made. */
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/**
 * Copies a file from an agent into a temporary file, compares the SHA-256 of both, and renames it. Resumes after a broken
 * connection. Throws a `ClientFault`.
 */
export async function fetchFile(deps: CopyDeps, remote: string, local: string): Promise<void> {
  // A rename would replace a device such as /dev/null.
  if ((await stat(local).catch(() => undefined))?.isFile() === false)
    throw new CopyFault(`${local} is not a regular file, so it is not replaced. Copy to another name.`);
  const part = `${local}.agent3-part`;
  const file = await openLocal(part, NEW_FILE);
  const removePart = (): void => rmSync(part, { force: true });
  process.once('exit', removePart);
  try {
    const { mode, theirs, own } = await fetchInto(deps, remote, file);
    requireSame(remote, theirs, own);
    await putInPlace(file, part, local, mode);
  } catch (error) {
    await file.close().catch(() => {});
    removePart();
    throw error;
  } finally {
    process.removeListener('exit', removePart);
  }
}

/** Renames a fetched file to its target, with the permissions of the old file, else of the source. Throws `CopyFault`. */
async function putInPlace(file: FileHandle, part: string, local: string, mode: string): Promise<void> {
  const before = await stat(local).catch(() => undefined);
  await file.chmod(before === undefined ? Number.parseInt(mode, 8) & 0o777 & ~process.umask() : before.mode & 0o777);
  await file.close();
  await rename(part, local).catch((error) => {
    throw new CopyFault(`${local} cannot be written: ${describeErrno(error)}`);
  });
}

/** What was fetched: its mode in octal digits, its SHA-256 from the agent, and that of the received bytes. */
interface Fetched {
  readonly mode: string;
  readonly theirs: string | undefined;
  readonly own: string;
}

/** Writes a remote file into an empty local file. */
async function fetchInto(deps: CopyDeps, remote: string, file: FileHandle): Promise<Fetched> {
  const { client, server } = deps;
  const args = { ...(server !== undefined && { server }), path: remote };
  const backoff = deps.backoff();
  let link = await downloadLink(deps, args);
  const { bytes } = link;
  const hash = new Bun.CryptoHasher('sha256');
  for (let at = 0; ; ) {
    try {
      using stall = new Stall(client.url);
      if (at < bytes || bytes === 0) {
        const headers = bytes === 0 ? {} : { range: `bytes=${at}-` };
        const response = await client.transfer(link.url, { headers, signal: stall.signal });
        for await (const piece of response.body ?? []) {
          // Not for ever: the disk is that of the owner.
          if (at + piece.length > bytes)
            throw new CopyFault(`${client.url} sends more bytes than ${remote} has. Copy it again.`);
          await writeAt(file, piece, at);
          hash.update(piece);
          at += piece.length;
          stall.renew();
          backoff.reset();
          deps.progress(at, bytes);
        }
        if (at < bytes) throw new ConnectionBroken(`the connection to ${client.url} was closed`);
      }
      const head = await client.transfer(link.url, { method: 'HEAD', signal: stall.signal });
      return { mode: link.mode, theirs: digestIn(head) ?? link.sha256, own: hash.digest('hex') };
    } catch (error) {
      const fault = clientFault(client, error);
      if (!mayGoOn(fault)) throw fault;
      await backoff.wait(fault);
      if (!isLost(fault)) continue;
      link = await downloadLink(deps, args);
      if (link.bytes !== bytes) throw new CopyFault(`${remote} changed while it was copied. Copy it again.`);
    }
  }
}

/** Returns a link. Asks again when the answer was lost: an unused link expires. */
function linkFrom<T extends object>({ client, backoff }: CopyDeps, operation: string, args: object): Promise<T> {
  return retry(
    () => client.call<T>(operation, args, { seconds: 60, fresh: true }),
    isTransientOnceReached(),
    backoff(),
  );
}

async function downloadLink(deps: CopyDeps, args: object): Promise<DownloadLink> {
  const link = await linkFrom<DownloadLink & Waiting>(deps, 'download', args);
  if (link.session === undefined) return link;
  await approval(deps, link);
  using stall = new Stall(deps.client.url);
  const { headers } = await deps.client.transfer(link.url, { method: 'HEAD', signal: stall.signal });
  return { url: link.url, bytes: Number(headers.get('content-length')), mode: '600' };
}

/** Waits for the approval of a person. Throws `CopyFault` when it was not approved. */
async function approval({ client, say }: CopyDeps, { session, reason }: Waiting): Promise<void> {
  if (session === undefined) return;
  say(`waiting for approval: ${reason} (session ${session})`);
  const output = readStream(client, session, { stream: 'stderr', offset: 0, follow: true, raw: false });
  let said = '';
  for (;;) {
    const { done, value } = await output.next();
    if (!done) said += Buffer.from(value).toString();
    else if (value.exit_code === 0) return;
    else throw new CopyFault(said.trim().replace(/^agent3: /, '') || 'it was not approved');
  }
}

async function interruptedUpload(client: AgentClient, url: string): Promise<Interrupted> {
  using stall = new Stall(client.url);
  const head = await client.transfer(url, { method: 'HEAD', signal: stall.signal });
  if (head.status === 410) return { sha256: digestIn(head) };
  const offset = Number(head.headers.get('upload-offset') ?? Number.NaN);
  // The link has ended: begin again with another.
  return { offset: head.ok && Number.isSafeInteger(offset) ? offset : 0 };
}

/** Parses `Repr-Digest` (RFC 9530). Returns the SHA-256 in hexadecimal digits. */
function digestIn({ headers }: Response): string | undefined {
  const base64 = /sha-256=:([\w+/=]+):/.exec(headers.get('repr-digest') ?? '')?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex');
}

function clientFault(client: AgentClient, error: unknown): ClientFault {
  return error instanceof ClientFault ? error : faultOf(client.url, error);
}

/** The link has ended because the agent was restarted. */
function isLost(fault: ClientFault): boolean {
  return fault instanceof Refused && fault.status === 404;
}

/** A server of a fleet has gone from its hub, and may come back. */
const AWAY = /^(?:Unreachable|Unknown outcome)/;

/** Returns true when another attempt may succeed, also while the agent has not yet noticed the broken connection. */
function mayGoOn(fault: ClientFault): boolean {
  if (fault instanceof CopyFault) return false;
  if (isLost(fault) || isTransient(fault) || (fault instanceof Refused && AWAY.test(fault.message))) return true;
  return (
    fault instanceof Refused &&
    (fault.status === 409 || (fault.status === 400 && fault.message.startsWith('Invalid request')))
  );
}

/** Throws `CopyFault` unless both hashes are equal. */
function requireSame(remote: string, theirs: string | undefined, own: string): void {
  if (theirs === own) return;
  const what = theirs === undefined ? 'the agent sent no SHA-256' : 'the SHA-256 differ';
  throw new CopyFault(`${remote} was not copied completely: ${what}. Copy it again.`);
}

/** Formats permissions as three octal digits. */
const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(3, '0');
