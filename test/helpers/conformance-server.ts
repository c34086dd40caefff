import {
  type CallToolResult,
  createRequestStateCodec,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerContext,
  type Tool,
} from '@modelcontextprotocol/server';
import { delay } from '../../src/lib/clock.ts';
import { mcpServer } from '../../src/mcp/server.ts';

/** One black dot. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** A sound without a sample. */
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

const text = (value: string) => ({ type: 'text', text: value }) as const;
const image = { type: 'image', data: PNG, mimeType: 'image/png' } as const;
const embedded = (uri: string, mimeType: string, value: string) =>
  ({ type: 'resource', resource: { uri, mimeType, text: value } }) as const;

type Answers = Readonly<Record<string, unknown>> | undefined;

/** What a tool of the sample server has to work with. */
interface SampleCall {
  readonly context: ServerContext;
  /** What the client answered to what an earlier round asked for. */
  readonly answers: Answers;
  readonly state: unknown;
  readonly args: Readonly<Record<string, unknown>>;
}

const answered = (value: string): CallToolResult => ({ content: [text(value)] });

/** An answer that asks the client for something first, as 2026-07-28 has it. */
const asks = (inputRequests: Readonly<Record<string, unknown>>, requestState?: string) =>
  ({ resultType: 'input_required', inputRequests, ...(requestState !== undefined && { requestState }) }) as never;

const form = (message: string, name: string, type = 'string') => ({
  method: 'elicitation/create',
  params: {
    message,
    requestedSchema: { type: 'object', properties: { [name]: { type } }, required: [name] },
  },
});
const sampling = (question: string) => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: text(question) }], maxTokens: 100 },
});
const roots = { method: 'roots/list', params: {} };
const NAME = form('What is your name?', 'name');

const codec = createRequestStateCodec({ key: crypto.getRandomValues(new Uint8Array(32)) });

/** Asks once for what `requests` names, with a state that the client sends back, and ends when it has all of it. */
const rounds =
  (...steps: readonly Readonly<Record<string, unknown>>[]) =>
  async ({ answers, state, context }: SampleCall) => {
    const step = typeof state === 'number' ? state : 0;
    const isAnswered = Object.keys(steps[step] ?? {}).every((name) => answers?.[name] !== undefined);
    const next = state === undefined ? 0 : isAnswered ? step + 1 : step;
    const requests = steps[next];
    return requests === undefined ? answered('state-ok: done') : asks(requests, await codec.mint(next, context));
  };

/** The same without a state. */
const once =
  (requests: Readonly<Record<string, unknown>>) =>
  ({ answers }: SampleCall) =>
    Object.keys(requests).every((name) => isGood(answers?.[name])) ? answered('thank you') : asks(requests);

/** What a client answers to a form has text in its fields. */
function isGood(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  const content = 'content' in answer ? answer.content : undefined;
  if (!('action' in answer) || typeof content !== 'object' || content === null) return !('action' in answer);
  return Object.values(content).every((value) => typeof value === 'string');
}

type SampleTool = (call: SampleCall) => CallToolResult | Promise<CallToolResult>;

const TOOLS: Readonly<Record<string, SampleTool>> = {
  test_simple_text: () => answered('This is a simple text response for testing.'),
  test_image_content: () => ({ content: [image] }),
  test_audio_content: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }),
  test_embedded_resource: () => ({
    content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  }),
  test_multiple_content_types: () => ({
    content: [
      text('Multiple content types test:'),
      image,
      embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ],
  }),
  test_error_handling: () => ({ content: [text('always')], isError: true }),
  test_tool_with_progress: async ({ context: { mcpReq } }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined)
        await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      await delay(20);
    }
    return answered('done');
  },
  test_logging_tool: () => answered('nothing is logged for a client that did not ask'),
  test_streaming_elicitation: () => asks({ user_name: NAME }),
  test_missing_capability: ({ context }) => {
    if (capabilitiesOf(context)['sampling'] === undefined)
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
    return answered('you have it');
  },
  test_custom_headers: ({ args }) => answered(JSON.stringify(args)),
  json_schema_2020_12_tool: () => answered('valid'),
  test_input_required_result_elicitation: once({ user_name: NAME }),
  test_input_required_result_sampling: once({ capital_question: sampling('What is the capital of France?') }),
  test_input_required_result_list_roots: once({ client_roots: roots }),
  test_input_required_result_request_state: rounds({ confirm: form('Please confirm', 'ok', 'boolean') }),
  test_input_required_result_multiple_inputs: rounds({
    user_name: NAME,
    greeting: sampling('Generate a greeting'),
    client_roots: roots,
  }),
  test_input_required_result_multi_round: rounds(
    { step1: form('Step 1: What is your name?', 'name') },
    { step2: form('Step 2: What is your favorite color?', 'color') },
  ),
  test_input_required_result_tampered_state: rounds({ confirm: form('Please confirm', 'ok', 'boolean') }),
  test_input_required_result_capabilities: ({ context }) => {
    const capabilities = capabilitiesOf(context);
    return asks({
      ...(capabilities['sampling'] !== undefined && { greeting: sampling('Generate a greeting') }),
      ...(capabilities['elicitation'] !== undefined && { user_name: NAME }),
    });
  },
};

function capabilitiesOf({ mcpReq }: ServerContext): Readonly<Record<string, unknown>> {
  const envelope: Readonly<Record<string, unknown>> = { ...mcpReq.envelope };
  return { ...Object(envelope['io.modelcontextprotocol/clientCapabilities']) };
}

/** Arguments of the tools that the suite wants with more than none. */
const SCHEMAS: Readonly<Record<string, Tool['inputSchema']>> = {
  test_custom_headers: {
    type: 'object',
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      query: { type: 'string' },
    },
    required: ['region'],
  },
  json_schema_2020_12_tool: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: {
      address: {
        $anchor: 'addressDef',
        type: 'object',
        properties: { street: { type: 'string' }, city: { type: 'string' } },
      },
    },
    properties: {
      name: { type: 'string' },
      address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] },
      phone: { type: 'string' },
      email: { type: 'string' },
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
    // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  },
};

/** What the suite's own sample server has, behind the door of the agent: for what no operation of the agent does. */
export const sampleServer: typeof mcpServer = (deps, principal, begin) => {
  const server = mcpServer(deps, principal, begin);
  server.registerCapabilities({ prompts: {}, resources: {}, completions: {} });
  server.setRequestHandler('tools/list', () => ({
    tools: Object.keys(TOOLS).map((name) => ({
      name,
      description: name,
      inputSchema: SCHEMAS[name] ?? { type: 'object' },
    })),
  }));
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const tool = TOOLS[params.name];
    if (tool === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Unknown tool');
    const call = begin(context);
    try {
      const state = context.mcpReq.requestState();
      return await tool({
        context,
        answers: context.mcpReq.inputResponses,
        state: typeof state === 'string' ? await opened(state, context) : undefined,
        args: params.arguments ?? {},
      });
    } finally {
      call.end();
    }
  });
  addPrompts(server);
  addResources(server);
  server.setRequestHandler('completion/complete', () => ({
    completion: { values: ['one'], total: 1, hasMore: false },
  }));
  return server;
};

/** The state that came back, which must be ours. */
async function opened(state: string, context: ServerContext): Promise<unknown> {
  try {
    return await codec.verify(state, context);
  } catch {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState');
  }
}

function addPrompts(server: Server): void {
  const said = (content: object) => ({ role: 'user', content }) as never;
  const argument = (name: string) => ({ name, required: true });
  const prompts = [
    { name: 'test_simple_prompt' },
    { name: 'test_prompt_with_arguments', arguments: [argument('arg1'), argument('arg2')] },
    { name: 'test_prompt_with_embedded_resource', arguments: [argument('resourceUri')] },
    { name: 'test_prompt_with_image' },
    { name: 'test_input_required_result_prompt' },
  ];
  server.setRequestHandler('prompts/list', () => ({
    prompts: prompts.map((prompt) => ({ ...prompt, description: prompt.name })),
  }));
  server.setRequestHandler('prompts/get', ({ params: { name, arguments: args = {} } }, { mcpReq }) => {
    const { arg1, arg2, resourceUri = '' } = args;
    switch (name) {
      case 'test_simple_prompt':
        return { messages: [said(text('This is a simple prompt for testing.'))] };
      case 'test_prompt_with_arguments':
        return { messages: [said(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] };
      case 'test_prompt_with_embedded_resource':
        return {
          messages: [
            said(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
            said(text('Please process the embedded resource above.')),
          ],
        };
      case 'test_prompt_with_image':
        return { messages: [said(image), said(text('Please analyze the image above.'))] };
      case 'test_input_required_result_prompt':
        return mcpReq.inputResponses?.['user_context'] === undefined
          ? asks({ user_context: form('What context should the prompt use?', 'context') })
          : { messages: [said(text('with your context'))] };
      default:
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Unknown prompt');
    }
  });
}

function addResources(server: Server): void {
  server.setRequestHandler('resources/list', () => ({
    resources: [
      { uri: 'test://static-text', name: 'text', description: 'text', mimeType: 'text/plain' },
      { uri: 'test://static-binary', name: 'binary', description: 'binary', mimeType: 'image/png' },
    ],
  }));
  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }],
  }));
  server.setRequestHandler('resources/read', ({ params: { uri } }) => {
    const id = /^test:\/\/template\/(\w+)\/data$/.exec(uri)?.[1];
    const data = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    if (id !== undefined) return { contents: [{ uri, mimeType: 'application/json', text: data }] };
    if (uri === 'test://static-text')
      return { contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }] };
    if (uri === 'test://static-binary') return { contents: [{ uri, mimeType: 'image/png', blob: PNG }] };
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Resource not found', { uri });
  });
}
