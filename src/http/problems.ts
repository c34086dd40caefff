import { AgentError, MethodNotAllowed, RouteNotFound } from '../lib/errors.ts';

/** An error as a client sees it. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly message?: string };
}

/** Turns whatever was thrown into JSON. The only place that does; nothing of an unexpected error reaches the client. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof AgentError)) return UNEXPECTED;
  const message = error.hint === undefined ? {} : { message: error.hint };
  return { status: error.status, headers: error.headers, body: { error: error.error, ...message } };
}

const UNEXPECTED: Problem = {
  status: 500,
  headers: {},
  body: {
    error: 'Internal error',
    message:
      'Agent3 failed on this call; the log of the server has the details. A command may have been started: look with read_session or ps before you repeat it.',
  },
};

/** Whether the owner should see the stack: everything but refusals that the client caused. */
export function isUnexpected(error: unknown): boolean {
  return !(error instanceof AgentError) || error.cause !== undefined;
}

/** What to answer where no route fits: the path is unknown, or known with other methods. */
export function noRoute(method: string, path: string, methodsOf: ReadonlyMap<string, readonly string[]>): AgentError {
  const allowed = methodsOf.get(path);
  // A path with a detour (`/./shell`) was read as another by whoever asked for its methods.
  if (allowed === undefined || allowed.includes(method))
    return new RouteNotFound(`There is nothing at this path. POST / takes {"op","args"}.`);
  return new MethodNotAllowed(allowed.join(', '), `${path} takes ${allowed.join(' or ')}, not ${method}.`);
}
