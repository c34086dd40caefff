import type { Registry } from 'prom-client';
import { Unauthorized } from '../lib/errors.ts';
import type { Authenticator } from './auth.ts';
import type { Buckets, Counters } from './counters.ts';
import { isLoopback } from './origin.ts';

/** What is at this moment, beside what was counted. */
export interface Gauges {
  readonly running: number;
  /** Commands that wait for their turn, and for a person. */
  readonly queued: number;
  readonly unapproved: number;
  readonly sessions: number;
  /** Output of all sessions. */
  readonly sessionBytes: number;
}

/** What `/metrics` tells of. */
export interface MetricsParts {
  readonly counters: Counters;
  readonly version: string;
  gauges(): Gauges;
  /** Knows the token of the metrics; undefined: this machine alone may read them. */
  readonly metricsAuth: Authenticator | undefined;
}

/** Headers that a proxy adds: what came through one did not begin on this machine. */
const FORWARDED = ['x-forwarded-for', 'forwarded', 'x-real-ip'];

/** Throws `Unauthorized` unless the request has the token of the metrics, or comes from this machine itself. */
export function authorizeMetrics({ metricsAuth }: MetricsParts, headers: Headers, peer: string, address: string): void {
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
    'The metrics are for this machine alone, by a URL on 127.0.0.1, [::1] or localhost, and for who sends AGENT3_METRICS_TOKEN as Authorization: Bearer.',
  );
}

/** The text that Prometheus reads, and its type. */
export interface MetricsText {
  readonly text: string;
  readonly type: string;
}

/** Everything as Prometheus text. What makes it is loaded with the first call. */
export async function metricsText(parts: MetricsParts): Promise<MetricsText> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  const registers = [registry];
  const { counters } = parts;
  const { running, queued, unapproved, sessions, sessionBytes } = parts.gauges();

  const requests = new Counter({
    name: 'agent3_requests_total',
    help: 'Requests that were answered, by operation and HTTP status.',
    labelNames: ['op', 'status'],
    registers,
  });
  for (const [key, count] of counters.requests) {
    const [op = '', status = ''] = key.split(' ');
    requests.inc({ op, status }, count);
  }
  const commands = new Counter({
    name: 'agent3_commands_total',
    help: 'Commands that have ended, by their status.',
    labelNames: ['status'],
    registers,
  });
  for (const [status, count] of counters.commands) commands.inc({ status }, count);
  const failed = new Counter({
    name: 'agent3_failed_logins_total',
    help: 'Requests that were refused because of their token: missing, wrong, or one of too many wrong ones.',
    registers,
  });
  failed.inc(counters.failedLogins);

  const gauge = (name: string, help: string, value: number): void => new Gauge({ name, help, registers }).set(value);
  gauge('agent3_commands_running', 'Commands that run now.', running);
  gauge('agent3_commands_queued', 'Commands that wait for their turn.', queued);
  gauge('agent3_commands_waiting', 'Commands that wait for approval.', unapproved);
  gauge('agent3_sessions', 'Sessions that are kept.', sessions);
  gauge('agent3_session_bytes', 'Output of all sessions.', sessionBytes);
  gauge('process_resident_memory_bytes', 'Resident memory of the agent.', process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'Start of the agent since the epoch.', performance.timeOrigin / 1000);
  new Gauge({ name: 'agent3_build_info', help: 'The version that runs.', labelNames: ['version'], registers }).set(
    { version: parts.version },
    1,
  );
  await addHistogram(registry, 'agent3_request_duration_seconds', 'How long answers took.', counters.requestSeconds);
  await addHistogram(registry, 'agent3_command_duration_seconds', 'How long commands took.', counters.commandSeconds);
  return { text: await registry.metrics(), type: registry.contentType };
}

/** A histogram whose observations were counted before it was made. */
async function addHistogram(registry: Registry, name: string, help: string, buckets: Buckets): Promise<void> {
  const { Histogram } = await import('prom-client');
  const histogram = new Histogram({ name, help, buckets: [...buckets.boundsSeconds], registers: [registry] });
  const empty = await histogram.get();
  let below = 0;
  const values = buckets.boundsSeconds.map((bound, at) => {
    below += buckets.counts[at] ?? 0;
    return { metricName: `${name}_bucket`, labels: { le: bound }, value: below };
  });
  const counted = {
    ...empty,
    values: [
      ...values,
      { metricName: `${name}_bucket`, labels: { le: '+Inf' }, value: buckets.count },
      { metricName: `${name}_sum`, labels: {}, value: buckets.sumSeconds },
      { metricName: `${name}_count`, labels: {}, value: buckets.count },
    ],
  };
  // The registry asks for the second where a metric has it.
  Object.assign(histogram, { get: async () => counted, getForPromString: async () => counted });
}
