import { createHash } from 'node:crypto';

/** What `upload` and `download` answer, or their refusal. */
export interface LinkAnswer {
  readonly status: number;
  readonly url: string;
  readonly bytes: number;
  readonly max_bytes: number;
  readonly sha256?: string;
  readonly error?: string;
  readonly message?: string;
}

/** Asks an agent for a link, or for a refusal, with a token. */
export async function linkFor(
  agent: { readonly url: string; readonly token: string },
  operation: 'upload' | 'download',
  args: object,
): Promise<LinkAnswer> {
  const init = { method: 'POST', headers: { 'x-auth-token': agent.token }, body: JSON.stringify(args) };
  const response = await fetch(`${agent.url}/${operation}`, init);
  return { ...((await response.json()) as LinkAnswer), status: response.status };
}

/** Sends bytes to a link. */
export async function put(
  url: string,
  body: Uint8Array | string | ReadableStream,
  headers: Record<string, string> = {},
) {
  const response = await fetch(url, { method: 'PUT', body, headers, keepalive: false });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

/** `Repr-Digest` of these bytes (RFC 9530). */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
}

export const hexOf = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
