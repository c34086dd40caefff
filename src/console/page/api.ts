import { recall, remember } from './storage.ts';
import { words } from './words.ts';

/** Why a call failed: a code of the API, or `Lost` where no answer came. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

const BEARER = 'agent3-bearer';
let bearer = recall(BEARER);

export function isSignedIn(): boolean {
  return bearer !== undefined;
}

/** Keeps the bearer in memory and in the storage of this origin; undefined forgets it. */
export function keepBearer(value: string | undefined): void {
  bearer = value;
  remember(BEARER, value);
}

/** `POST /api/NAME`. Throws an `ApiError`; an abort by `signal` throws the abort. */
export async function post<Answer>(name: string, body: unknown = {}, signal?: AbortSignal): Promise<Answer> {
  const response = await send(name, body, signal);
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as Answer;
  const { error = response.status === 502 ? 'AgentAway' : 'Lost', message = '' } = (answer ?? {}) as {
    error?: string;
    message?: string;
  };
  throw new ApiError(error, message, Number(response.headers.get('retry-after') ?? 0) * 1000);
}

async function send(name: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  try {
    return await fetch(`/api/${name}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
      body: JSON.stringify(body),
      cache: 'no-store',
      credentials: 'omit',
      // A page that goes hands a terminal back.
      keepalive: name === 'order',
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError('Lost', words.result.lost);
  }
}

/** What a person reads of an error. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof ApiError)) return words.result.failed(error instanceof Error ? error.message : String(error));
  if (error.code === 'Lost') return words.result.lost;
  if (error.code === 'AgentAway') return words.result.away;
  if (error.code === 'PasskeyNeeded') return words.result.passkeyNeeded;
  return words.result.failed(error.message);
}
