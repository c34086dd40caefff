import { asJson } from '../lib/describe-schema.ts';

/** A message of JSON-RPC from a client, not checked yet. */
type Raw = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the messages of a body: one, or those of a batch. */
export function messagesOf(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? body : [body];
}

/**
 * Normalizes a message or a batch, as clients send them: `null` means not given, and `arguments` may be JSON text.
 */
export function normalize(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(normalize);
  if (!isObject(body) || !('params' in body)) return body;
  const { params, ...message } = body;
  if (params === null) return message;
  if (!isObject(params)) return body;
  const { arguments: given, ...others } = params;
  const args = asJson(given) ?? undefined;
  return { ...message, params: { ...withoutNulls(others), ...(args !== undefined && { arguments: args }) } };
}

/** `params`, what it has, and what that has: `_meta.progressToken`, `clientInfo.title`, `capabilities.roots`. */
const LEVELS = 3;

function withoutNulls(given: Raw, levels = LEVELS): Raw {
  const entries = Object.entries(given).filter(([, value]) => value !== null);
  if (levels === 1) return Object.fromEntries(entries);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, isObject(value) ? withoutNulls(value, levels - 1) : value]),
  );
}

/** A simple tool call of older clients. */
export interface PlainCall {
  readonly id: string | number;
  readonly name: string;
  readonly args: Raw | undefined;
}

/** Reads a call with only what every revision before 2026-07-28 has; undefined for any other message. */
export function plainCall(message: unknown): PlainCall | undefined {
  if (!isObject(message) || !isObject(message['params'])) return undefined;
  const { jsonrpc, id, method, params, ...more } = message;
  const { name, arguments: args, _meta: meta = {}, ...others } = message['params'];
  if (jsonrpc !== '2.0' || method !== 'tools/call' || typeof name !== 'string') return undefined;
  if (typeof id !== 'string' && !(typeof id === 'number' && Number.isSafeInteger(id))) return undefined;
  if (args !== undefined && !isObject(args)) return undefined;
  if (!isObject(meta) || Object.keys({ ...more, ...others }).length > 0) return undefined;
  // These ask for progress, or use the newer protocol.
  const isUsed = (key: string): boolean => key === 'progressToken' || key.startsWith('io.modelcontextprotocol/');
  return Object.keys(meta).some(isUsed) ? undefined : { id, name, args };
}

/** Returns the id of the request that a message cancels; undefined for any other message. */
export function cancelledId(message: unknown): unknown {
  if (!isObject(message) || message['method'] !== 'notifications/cancelled') return undefined;
  return isObject(message['params']) ? message['params']['requestId'] : undefined;
}

/** Returns true when the client of a message asks for progress. */
export function wantsProgress(message: unknown): boolean {
  if (!isObject(message) || !isObject(message['params']) || !isObject(message['params']['_meta'])) return false;
  return message['params']['_meta']['progressToken'] !== undefined;
}

/** Returns true when a message initializes a client, in revisions before 2026-07-28. */
export function isInitialize(message: unknown): boolean {
  return isObject(message) && message['method'] === 'initialize';
}

/** Longest id or progress token, which is sent back repeatedly. */
const MAX_LABEL_CHARS = 256;

/** Returns true when the id or progress token of a message is too long. */
export function hasLongLabel(message: unknown): boolean {
  if (!isObject(message)) return false;
  const params = isObject(message['params']) ? message['params'] : {};
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  return [message['id'], meta['progressToken']].some(
    (label) => typeof label === 'string' && label.length > MAX_LABEL_CHARS,
  );
}
