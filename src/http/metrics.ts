import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Unauthorized } from '../lib/errors.ts';
import type { Authenticator } from './auth.ts';
import { isLoopback } from './origin.ts';

/** The gauges, read when Prometheus asks. */
export interface Gauges {
  running(): number;
  queued(): number;
  /** Commands that wait for approval. */
  unapproved(): number;
  frozen(): number;
  sessions(): number;
  sessionBytes(): number;
}

/** Buckets in seconds: from a call that runs nothing to one that waits for its whole window. */
const REQUEST_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40];
/** Buckets in seconds: from `true` to work in the background. */
const COMMAND_BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 45, 120, 600, 3600];

/** Counters since the start of the agent, and current gauges, for Prometheus. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  readonly #requests = this.#counter('agent3_requests_total', 'Answered requests, by operation and HTTP status.', [
    'op',
    'status',
  ]);
  readonly #commands = this.#counter('agent3_commands_total', 'Ended commands, by status.', ['status']);
  readonly #failedLogins = this.#counter(
    'agent3_failed_logins_total',
    'Requests refused for a missing or wrong token, or after too many wrong ones.',
  );
  readonly #requestSeconds = this.#histogram(
    'agent3_request_duration_seconds',
    'Time to answer a request.',
    REQUEST_BUCKETS_SECONDS,
  );
  readonly #commandSeconds = this.#histogram(
    'agent3_command_duration_seconds',
    'Run time of commands.',
    COMMAND_BUCKETS_SECONDS,
  );

  constructor(version: string, gauges: Gauges) {
    this.#gauge('agent3_commands_running', 'Commands that run.', gauges.running);
    this.#gauge('agent3_commands_queued', 'Commands that wait for a slot.', gauges.queued);
    this.#gauge('agent3_commands_waiting', 'Commands that wait for approval.', gauges.unapproved);
    this.#gauge('agent3_frozen', '1 while the owner has frozen the server, otherwise 0.', gauges.frozen);
    this.#gauge('agent3_sessions', 'Stored sessions.', gauges.sessions);
    this.#gauge('agent3_session_bytes', 'Bytes of output of all sessions.', gauges.sessionBytes);
    this.#gauge('process_resident_memory_bytes', 'Resident memory of the agent.', process.memoryUsage.rss);
    this.#gauge(
      'process_start_time_seconds',
      'Start time of the agent, in seconds since the epoch.',
      () => performance.timeOrigin / 1000,
    );
    const labels = { name: 'agent3_build_info', help: 'The running version.', labelNames: ['version'] };
    new Gauge({ ...labels, registers: this.#registers }).set({ version }, 1);
  }

  /** A request was answered; `op` is undefined where it called no operation. */
  request(op: string | undefined, status: number, seconds: number): void {
    this.#requests.inc({ op: op ?? 'none', status });
    this.#requestSeconds.observe(seconds);
  }

  /** A request was refused because of its token, or of those that came before from its address. */
  failedLogin(): void {
    this.#failedLogins.inc();
  }

  /** A command has ended, after so many milliseconds. */
  readonly commandEnded = ({
    status,
    duration_ms,
  }: {
    readonly status: string;
    readonly duration_ms: number | null;
  }) => {
    this.#commands.inc({ status });
    this.#commandSeconds.observe((duration_ms ?? 0) / 1000);
  };

  /** The text that Prometheus reads, and its type. */
  async text(): Promise<{ readonly text: string; readonly type: string }> {
    return { text: await this.#registry.metrics(), type: this.#registry.contentType };
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter<string> {
    return new Counter({ name, help, labelNames, registers: this.#registers });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: this.#registers });
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: this.#registers,
      collect() {
        this.set(read());
      },
    });
  }
}

/** Headers that a proxy adds: what came through one did not begin on this machine. */
const FORWARDED = ['x-forwarded-for', 'forwarded', 'x-real-ip'];

/** Throws `Unauthorized` unless the request has the token of the metrics, or comes from this machine itself. */
export function authorizeMetrics(
  metricsAuth: Authenticator | undefined,
  headers: Headers,
  peer: string,
  address: string,
): void {
  const hasToken = headers.has('authorization') || headers.has('x-auth-token');
  if (metricsAuth !== undefined && hasToken) {
    metricsAuth.authenticate(headers, address);
    return;
  }
  const isPeerLocal = /^(?:::ffff:)?127\.|^::1$/.test(peer) && !FORWARDED.some((name) => headers.has(name));
  // A page whose name was pointed at this machine (DNS rebinding) sends that name, and a proxy the one it was asked for.
  if (
    isPeerLocal &&
    isLoopback(`http://${headers.get('host')}`) &&
    isLoopback(headers.get('origin') ?? 'http://localhost')
  )
    return;
  throw new Unauthorized(
    'Metrics are answered on this machine, at a URL on 127.0.0.1, [::1] or localhost. From elsewhere, send AGENT3_METRICS_TOKEN as Authorization: Bearer.',
  );
}
