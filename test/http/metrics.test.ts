import { expect, test } from 'bun:test';
import { Metrics } from '../../src/http/metrics.ts';
import { NO_GAUGES } from '../helpers/gauges.ts';

test('counts since the start, gauges at the time of asking', async () => {
  let running = 3;
  const metrics = new Metrics('1.2.3', { ...NO_GAUGES, running: () => running });
  metrics.request('shell', 200, 0.01);
  metrics.request('shell', 200, 0.002);
  metrics.request(undefined, 403, 60);
  metrics.failedLogin();
  metrics.commandEnded({ status: 'done', duration_ms: 1000 });
  const { text, type } = await metrics.text();
  expect(type).toStartWith('text/plain; version=0.0.4');
  const lines = [
    'agent3_requests_total{op="shell",status="200"} 2',
    'agent3_requests_total{op="none",status="403"} 1',
    'agent3_request_duration_seconds_bucket{le="0.001"} 0',
    'agent3_request_duration_seconds_bucket{le="0.0025"} 1',
    'agent3_request_duration_seconds_bucket{le="0.01"} 2',
    'agent3_request_duration_seconds_bucket{le="40"} 2',
    'agent3_request_duration_seconds_bucket{le="+Inf"} 3',
    'agent3_request_duration_seconds_count 3',
    'agent3_commands_total{status="done"} 1',
    'agent3_command_duration_seconds_bucket{le="1"} 1',
    'agent3_failed_logins_total 1',
    'agent3_commands_running 3',
    'agent3_build_info{version="1.2.3"} 1',
  ];
  expect(text.split('\n')).toEqual(expect.arrayContaining(lines));
  running = 4;
  expect((await metrics.text()).text).toContain('agent3_commands_running 4\n');
});

test('two agents in one process count apart', async () => {
  const [one, other] = [new Metrics('1', NO_GAUGES), new Metrics('2', NO_GAUGES)];
  one.failedLogin();
  expect((await other.text()).text).toContain('agent3_failed_logins_total 0\n');
});
