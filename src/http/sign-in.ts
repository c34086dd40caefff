import type { OneShotEvent } from '../lib/clock.ts';
import { readOpenBody } from './body.ts';
import type { HttpExchange } from './exchange.ts';
import { type AnswerDeps, failed, send } from './respond.ts';

/** An answer of the sign-in. */
export interface SignInAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** The routes by which clients sign in, without a token. */
export interface SignInDoor {
  /** All paths with their methods. */
  readonly routes: ReadonlyMap<string, readonly string[]>;
  /** The challenge on `/mcp` that points to this sign-in (RFC 9728, RFC 6750). */
  readonly challenge: string;
  /** Headers of every answer at a path, also of errors. */
  headersAt(path: string): Readonly<Record<string, string>>;
  /** Answers a request; `read` reads its body. Throws an `AgentError`. */
  answer(exchange: HttpExchange, read: () => Promise<string>): Promise<SignInAnswer>;
}

/** What the route of the sign-in needs. */
interface SignInDeps extends AnswerDeps {
  readonly signIn: SignInDoor | undefined;
  readonly shutdown: OneShotEvent;
}

/** Answers a step of a client's sign-in; undefined for an unknown path or method. */
export function answerSignIn(deps: SignInDeps, exchange: HttpExchange): Promise<Response> | undefined {
  const { signIn: door } = deps;
  return door?.routes.get(exchange.path)?.includes(exchange.method) === true ? answer(deps, door, exchange) : undefined;
}

async function answer(deps: SignInDeps, door: SignInDoor, exchange: HttpExchange): Promise<Response> {
  const more = door.headersAt(exchange.path);
  const read = async (): Promise<string> =>
    new TextDecoder().decode(await readOpenBody(exchange.request, deps.shutdown));
  try {
    const { status, headers, body } = await door.answer(exchange, read);
    return send(deps, exchange, status, body, Buffer.byteLength(body ?? ''), { ...more, ...headers });
  } catch (error) {
    const response = failed(deps, exchange, error);
    for (const [name, value] of Object.entries(more)) response.headers.set(name, value);
    return response;
  }
}
