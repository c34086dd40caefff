import { Deadline } from '../core/clock.ts';

/** One request and its answer: what the doors know of it and what its log line tells. */
export interface Exchange {
  readonly id: string;
  readonly startedMs: number;
  readonly address: string;
  readonly method: string;
  readonly path: string;
  /** The answer leaves before this. */
  readonly deadline: Deadline;
  /** Set once the token was checked. */
  principal: string;
  op?: string;
  session?: string;
  outcome?: string;
  exitCode?: number | null;
}

/** The exchanges under way. A request that is gone takes its exchange with it. */
const exchanges = new WeakMap<Request, Exchange>();

export function beginExchange(request: Request, address: string, replySeconds: number): Exchange {
  const exchange: Exchange = {
    id: Bun.randomUUIDv7(),
    startedMs: performance.now(),
    address,
    method: request.method,
    path: pathOf(request.url),
    deadline: Deadline.after(replySeconds),
    principal: '',
  };
  exchanges.set(request, exchange);
  return exchange;
}

/** The exchange of a request that `beginExchange` has seen; undefined for one that it has not. */
export function exchangeOf(request: Request): Exchange | undefined {
  return exchanges.get(request);
}

/** The path of an absolute URL, without its query. */
export function pathOf(url: string): string {
  // Without a usable Host header, Bun gives the path alone.
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('//') + 2);
  if (start === -1) return '/';
  const end = url.slice(start).search(/[?#]/);
  return end === -1 ? url.slice(start) : url.slice(start, start + end);
}
