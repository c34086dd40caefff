import { asJson } from '../lib/describe-schema.ts';

/** A message of JSON-RPC as a client sent it; nothing of it is checked yet. */
type Raw = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Each message of a body: one, or those of a batch. */
export function messagesOf(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? body : [body];
}

/**
 * A message, or a batch, as clients really send them: `arguments: null` means that there are none, and a text in JSON the
 * object that it holds.
 */
export function normalize(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(normalize);
  if (!isObject(body) || !isObject(body['params'])) return body;
  const { arguments: given, ...params } = body['params'];
  if (given === null) return { ...body, params };
  const read = asJson(given);
  return read === given ? body : { ...body, params: { ...params, arguments: read } };
}

/** A call of a tool, as older clients send most of theirs. */
export interface PlainCall {
  readonly id: string | number;
  readonly name: string;
  readonly args: Raw | undefined;
}

/** Reads a call that has what every revision before 2026-07-28 has, and nothing more; undefined for every other message. */
export function plainCall(message: unknown): PlainCall | undefined {
  if (!isObject(message) || !isObject(message['params'])) return undefined;
  const { jsonrpc, id, method, params, ...more } = message;
  const { name, arguments: args, _meta: meta = {}, ...others } = message['params'];
  if (jsonrpc !== '2.0' || method !== 'tools/call' || typeof name !== 'string') return undefined;
  if (typeof id !== 'string' && !(typeof id === 'number' && Number.isSafeInteger(id))) return undefined;
  if (args !== undefined && !isObject(args)) return undefined;
  if (!isObject(meta) || Object.keys({ ...more, ...others }).length > 0) return undefined;
  // These are about progress, or claim the newer protocol.
  const isUsed = (key: string): boolean => key === 'progressToken' || key.startsWith('io.modelcontextprotocol/');
  return Object.keys(meta).some(isUsed) ? undefined : { id, name, args };
}

/** The id of the request that a message takes back; undefined for every other message. */
export function cancelledId(message: unknown): unknown {
  if (!isObject(message) || message['method'] !== 'notifications/cancelled') return undefined;
  return isObject(message['params']) ? message['params']['requestId'] : undefined;
}

/** Reports whether the client of a message wants to hear of progress. */
export function wantsProgress(message: unknown): boolean {
  if (!isObject(message) || !isObject(message['params']) || !isObject(message['params']['_meta'])) return false;
  return message['params']['_meta']['progressToken'] !== undefined;
}

/** Reports whether a message introduces a client, as revisions before 2026-07-28 have it. */
export function isInitialize(message: unknown): boolean {
  return isObject(message) && message['method'] === 'initialize';
}

/** A longer id or token of progress would be sent back again and again. */
const MAX_LABEL_CHARS = 256;

/** Reports whether a message bears an id or a token of progress that is too long to send back. */
export function hasLongLabel(message: unknown): boolean {
  if (!isObject(message)) return false;
  const params = isObject(message['params']) ? message['params'] : {};
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  return [message['id'], meta['progressToken']].some(
    (label) => typeof label === 'string' && label.length > MAX_LABEL_CHARS,
  );
}
