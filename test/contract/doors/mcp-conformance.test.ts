import { afterAll, describe, expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import pino from 'pino';
import { Access } from '../../../src/access/access.ts';
import { ProfileBook } from '../../../src/access/profile-book.ts';
import { Followers } from '../../../src/calls/follow.ts';
import { createApp } from '../../../src/http/app.ts';
import { tokens } from '../../../src/http/auth.ts';
import { CallLimiter, Pace } from '../../../src/http/limiters.ts';
import { Metrics } from '../../../src/http/metrics.ts';
import { AccessLog } from '../../../src/http/respond.ts';
import { delay, systemClock } from '../../../src/lib/clock.ts';
import { InvalidArguments } from '../../../src/lib/errors.ts';
import { mcpDoor } from '../../../src/mcp/door.ts';
import { defineOperation, type Operation, type OperationDefinition } from '../../../src/operations/operation.ts';
import { buildDeps, type Deps } from '../../../src/server/deps.ts';
import { loadConfig } from '../../../src/settings/config.ts';
import { startAgent } from '../../helpers/agent.ts';
import { randomToken } from '../../helpers/binary.ts';
import { conformance, type Score } from '../../helpers/conformance.ts';
import { NO_GAUGES } from '../../helpers/gauges.ts';

/** What every MCP server has to pass. */
const APPLY = [
  'server-initialize',
  'ping',
  'tools-list',
  'server-sse-multiple-streams',
  'dns-rebinding-protection',
] as const;

const SAMPLE_TOOL = 'calls a tool of the suite’s sample server; the door passes it with such a tool, below';
const OTHER_CONTENT = 'calls a tool that answers with images, sound or resources; a shell answers with text';
const NO_LOGGING = 'the server offers no `logging`: its log is for its owner';
const NO_RESOURCES = 'the server offers no `resources`: output is read with read_session';
const NO_PROMPTS = 'the server offers no `prompts`';
const NEVER_ASKS = 'calls a tool that asks the client for something; no operation does';

/** What cannot apply to this server, and why. */
const DO_NOT_APPLY: Readonly<Record<string, string>> = {
  'tools-call-simple-text': SAMPLE_TOOL,
  'tools-call-error': SAMPLE_TOOL,
  'tools-call-with-progress': SAMPLE_TOOL,
  'tools-call-image': OTHER_CONTENT,
  'tools-call-audio': OTHER_CONTENT,
  'tools-call-embedded-resource': OTHER_CONTENT,
  'tools-call-mixed-content': OTHER_CONTENT,
  'tools-call-with-logging': NO_LOGGING,
  'logging-set-level': NO_LOGGING,
  'tools-call-sampling': NEVER_ASKS,
  'tools-call-elicitation': NEVER_ASKS,
  'elicitation-sep1034-defaults': NEVER_ASKS,
  'elicitation-sep1330-enums': NEVER_ASKS,
  'json-schema-2020-12':
    'wants a tool with `$defs` and `$ref`, which many clients cannot read; no operation needs them',
  'server-sse-polling': 'wants streams that are taken up again with GET; read_session takes up the command itself',
  'completion-complete': 'the server offers no `completions`: they are for prompts and resources',
  'resources-list': NO_RESOURCES,
  'resources-read-text': NO_RESOURCES,
  'resources-read-binary': NO_RESOURCES,
  'resources-templates-read': NO_RESOURCES,
  'resources-subscribe': NO_RESOURCES,
  'resources-unsubscribe': NO_RESOURCES,
  'prompts-list': NO_PROMPTS,
  'prompts-get-simple': NO_PROMPTS,
  'prompts-get-with-args': NO_PROMPTS,
  'prompts-get-embedded-resource': NO_PROMPTS,
  'prompts-get-with-image': NO_PROMPTS,
};

/** A scenario that checked nothing has not passed. */
const passed = (scores: ReadonlyMap<string, Score>) =>
  [...scores].filter(([, score]) => score.passed > 0 && score.failed === 0).map(([name]) => name);

describe('the public conformance suite', () => {
  test('is passed where it applies, and every other scenario has its reason here', async () => {
    await using agent = await startAgent();
    const scores = await conformance(agent.url, agent.token);
    expect(passed(scores).sort()).toEqual([...APPLY].sort());
    expect([...scores.keys()].sort()).toEqual([...APPLY, ...Object.keys(DO_NOT_APPLY)].sort());
  });
});

describe('the door, with the tools of the suite’s sample server', () => {
  const token = randomToken();
  const config = loadConfig({ AGENT3_API_TOKEN: token });
  const logger = pino({ level: 'silent' });
  const deps = buildDeps(
    config,
    logger,
    new Access(new ProfileBook(undefined, systemClock, logger), 'full', undefined, 'default'),
  );
  const parts = {
    operations: sampleOperations(deps),
    followers: new Followers(deps),
    auth: tokens(token),
    pace: new Pace(100_000, systemClock),
    calls: new CallLimiter(),
    turns: deps.turns,
    accessLog: new AccessLog(logger, systemClock),
    shutdown: deps.shutdown,
    replySeconds: 10,
    maxReplyChars: config.maxReplyChars,
    trustedProxies: config.trustedProxies,
    publicUrl: undefined,
    allowedOrigins: [],
    version: 'test',
    metrics: new Metrics('test', NO_GAUGES),
    metricsAuth: undefined,
  };
  const app = createApp({ ...parts, mcp: mcpDoor(parts) }).listen({ hostname: '127.0.0.1', port: 0 });
  afterAll(() => app.stop(true));

  test('passes what the suite asks of text, errors and progress', async () => {
    const scores = await conformance(`http://127.0.0.1:${app.server?.port}`, token);
    expect(passed(scores)).toContainValues([
      ...APPLY,
      ...Object.keys(DO_NOT_APPLY).filter((name) => DO_NOT_APPLY[name] === SAMPLE_TOOL),
    ]);
  });
});

function sampleOperations(deps: Deps): readonly Operation[] {
  const sample = (name: string, run: OperationDefinition<ReturnType<typeof Type.Object>>['run']) =>
    defineOperation(deps, {
      name,
      summary: name,
      description: name,
      args: Type.Object({}),
      result: Type.Object({ text: Type.String() }),
      destructive: false,
      readOnly: true,
      run,
    });
  return [
    sample('test_simple_text', async () => ({ text: 'simple' })),
    sample('test_error_handling', () => Promise.reject(new InvalidArguments('always'))),
    sample('test_tool_with_progress', async (_args, call) => {
      const told = Promise.withResolvers<void>();
      let looks = 0;
      call.watch?.(() => {
        looks++;
        if (looks === 3) told.resolve();
        return looks;
      });
      await told.promise;
      // The third notification leaves right after the look.
      await delay(10);
      return { text: 'done' };
    }),
  ];
}
