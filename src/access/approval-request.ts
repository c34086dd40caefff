import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf, isOutOfFiles } from '../lib/errors.ts';
import { fileFingerprint, readPlain } from '../lib/files.ts';
import { withReserve } from '../linux/open-files.ts';
import { planArgsText, planText, type SignedPlan, type WholePlan } from './plan.ts';
import { type RequestField, requestText } from './request-text.ts';

const sha256Schema = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** The digest of a plan is over all of this. */
export const signedPlanSchema = Type.Object({
  hub: Type.String(),
  run: Type.String(),
  principal: Type.String(),
  cmd_sha256: sha256Schema,
  args_sha256: sha256Schema,
  servers: Type.Array(Type.Object({ name: Type.String(), key: Type.String(), instance: Type.String() })),
});

/** What a person is asked to approve: everything that would run. Times are milliseconds since the epoch. */
const requestSchema = Type.Object({
  /** For a call through a hub: this server's name there, and 8 letters of its key. */
  server: Type.Optional(Type.String()),
  session: Type.String({ pattern: '^[0-9a-f-]{36}$' }),
  /** The token of the call, and its address. */
  token: Type.String(),
  address: Type.String(),
  profile: Type.String(),
  user: Type.String(),
  cmd: Type.String(),
  cwd: Type.String(),
  env: Type.Record(Type.String(), Type.String()),
  stdin: Type.String(),
  /**
   * A change of a file: the SHA-256 before and after (empty without a file), and the difference. `owner` has the numbers
   * of user and group; empty for the user who makes it.
   */
  file: Type.Optional(
    Type.Object({
      path: Type.String(),
      mode: Type.String(),
      owner: Type.String(),
      before_sha256: Type.String(),
      after_sha256: Type.String(),
      diff: Type.String(),
    }),
  ),
  /** The context in which the shell begins, and its content. */
  context: Type.Optional(Type.Object({ name: Type.String(), sha256: Type.String(), brings: Type.String() })),
  /** What is typed when the command asks, step by step. */
  dialog: Type.Optional(Type.Array(Type.Object({ expect: Type.String(), send: Type.String() }))),
  /** `closed`: the command reads only `stdin`. Otherwise the token may send more input later. */
  input: Type.String(),
  limit_seconds: Type.Number(),
  /** Why approval is needed, and for which part of the command. */
  reason: Type.String(),
  part: Type.String(),
  /** The rule that asks, when a person may allow it for this token in this real directory for a while. */
  allowable: Type.Optional(
    Type.Object({ rule: Type.Integer(), rule_sha256: Type.String(), words: Type.String(), cwd: Type.String() }),
  ),
  /** The `run_on` that it is a part of: a person may approve all of that at the hub. */
  plan: Type.Optional(signedPlanSchema),
  asked_at: Type.Integer(),
  /** Random, and only in the request: so nobody can guess the input from the digest, which is on record. */
  salt: Type.Optional(Type.String()),
  expires_at: Type.Integer(),
} satisfies Record<RequestField, TSchema>);

export type ApprovalRequest = Static<typeof requestSchema>;

const decisionSchema = Type.Object({
  session: Type.String(),
  /** Digest of the request that was read. The decision approves no other one. */
  digest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  verdict: Type.Union([Type.Literal('approve'), Type.Literal('deny')]),
  why: Type.String({ maxLength: 500 }),
  by: Type.String({ maxLength: 100 }),
});

export type ApprovalDecision = Static<typeof decisionSchema>;

/** Returns the SHA-256 of a request: of command, directory, environment, file, context, input, dialog and user. */
export function digestOf(request: ApprovalRequest): string {
  return sha256(requestText(request));
}

/** The SHA-256 of a plan, which its approval names. */
export function planDigest(plan: SignedPlan): string {
  return sha256(planText(plan));
}

/** What of a plan its digest is over. */
export function signedPlanOf(plan: WholePlan): SignedPlan {
  const { hub, run, principal, args, servers } = plan;
  const cmd_sha256 = sha256(String(args['cmd']));
  return { hub, run, principal, cmd_sha256, args_sha256: sha256(planArgsText(plan)), servers };
}

function sha256(text: string): string {
  return new Bun.CryptoHasher('sha256').update(text).digest('hex');
}

/** Returns the directory of requests, in the sessions directory of an agent. */
export function requestsDirectory(sessionsDirectory: string): string {
  return join(sessionsDirectory, '.approvals');
}

/** Writes a request for the owner. */
export function publish(directory: string, request: ApprovalRequest): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(fileOf(directory, request.session), JSON.stringify(request), { mode: 0o600 });
}

/**
 * Returns the state of a request file that is still as published; undefined when it was changed. A file in the state
 * `seen` is not read again.
 */
export function lookAtPublished(directory: string, session: string, digest: string, seen: string): string | undefined {
  const path = fileOf(directory, session);
  const now = fileFingerprint(path);
  if (now === seen) return now;
  const value = readJson(path, undefined);
  return Value.Check(requestSchema, value) && digestOf(value) === digest ? now : undefined;
}

/** Removes a request, or a decision, which the agent may have taken already. */
export function takeAway(directory: string, session: string): void {
  rmSync(fileOf(directory, session), { force: true });
}

function fileOf(directory: string, session: string): string {
  return join(directory, `${session}.json`);
}

/** Returns the requests in a directory, oldest first. Skips other files and expired requests. Throws the system's error. */
export function readRequests(directory: string, now: number): ApprovalRequest[] {
  const requests: ApprovalRequest[] = [];
  for (const name of list(directory)) {
    const value = readJson(join(directory, name), undefined);
    if (Value.Check(requestSchema, value) && `${value.session}.json` === name && value.expires_at > now)
      requests.push(value);
  }
  return requests.sort((a, b) => a.asked_at - b.asked_at);
}

/** Returns the decision of root on a session; undefined without one. */
export function readDecision(directory: string, session: string): ApprovalDecision | undefined {
  const value = readJson(fileOf(directory, session), 0);
  return Value.Check(decisionSchema, value) && value.session === session ? value : undefined;
}

/**
 * Writes a decision, which cannot be changed afterwards. Every user of the directory may read it, for any umask of root.
 * Throws the system's error, `EEXIST` when there is already a decision.
 */
export function writeDecision(directory: string, decision: ApprovalDecision): void {
  const fd = openSync(fileOf(directory, decision.session), 'wx', 0o600);
  try {
    fchmodSync(fd, 0o644);
    writeFileSync(fd, JSON.stringify(decision));
  } finally {
    closeSync(fd);
  }
}

/** Removes decisions for which no request waits. */
export function clearDecisions(directory: string, olderThan: number): void {
  for (const name of list(directory)) {
    const path = join(directory, name);
    if ((lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? olderThan) < olderThan) rmSync(path, { force: true });
  }
}

/** Returns why a directory may have decisions of others than root; undefined when it is safe. */
export function distrust(directory: string): string | undefined {
  const stat = lookAt(directory);
  if (typeof stat === 'string') return stat;
  if (!stat.isDirectory()) return `${directory} is not a directory`;
  if (stat.uid !== 0) return `${directory} does not belong to root`;
  if ((stat.mode & 0o022) !== 0) return `users other than root may write to ${directory}`;
  return closedDirectory(directory);
}

function closedDirectory(directory: string): string | undefined {
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `${directory} cannot be read: ${describeErrno(error)}`;
  }
}

function lookAt(directory: string): Stats | string {
  try {
    return lstatSync(directory, { throwIfNoEntry: false }) ?? `${directory} does not exist`;
  } catch (error) {
    return `${directory} cannot be read: ${describeErrno(error)}`;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith('.json'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** A command and its input may have 16 MiB each, escaped. */
const MAX_FILE_BYTES = 256 * 1_048_576;

/** Returns the JSON of a file of root; `damaged` when it cannot be read now or is not JSON, undefined without one. */
export function readRootsJson(path: string): unknown {
  try {
    return withReserve(() =>
      readPlain(path, (fd, { uid, mode }) =>
        uid !== 0 || (mode & 0o022) !== 0 ? undefined : parsedOr(readFileSync(fd, 'utf8'), 'damaged'),
      ),
    );
  } catch (error) {
    return isOutOfFiles(error) ? 'damaged' : undefined;
  }
}

function parsedOr(text: string, otherwise: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** Returns the JSON of a file; undefined when it is not JSON, not a regular file, or not owned by `owner`. */
function readJson(path: string, owner: number | undefined): unknown {
  try {
    return readPlain(path, (fd, { size, uid }) =>
      size > MAX_FILE_BYTES || (owner !== undefined && uid !== owner)
        ? undefined
        : JSON.parse(readFileSync(fd, 'utf8')),
    );
  } catch {
    return undefined;
  }
}
