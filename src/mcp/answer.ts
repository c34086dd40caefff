import type { CallToolResult, TextContent } from '@modelcontextprotocol/server';
import type { Answer } from '../calls/context.ts';
import { problemOf } from '../http/exchange.ts';

/**
 * The form of an answer in MCP: text alone. First the standard output as it is, then the standard error under a line
 * `[stderr]`, last one line of JSON with the other fields that say something. Several hosts show the model nothing but
 * `structuredContent` where there is some, and others nothing of it. With a key, the session is named in any case.
 */
export function toolResult(answer: Answer, hasKey: boolean): CallToolResult {
  const { stdout, stderr, ...fields } = answer;
  const isOutput = typeof stdout === 'string';
  const rest = JSON.stringify(isOutput ? tellingFields(fields, hasKey) : fields);
  const texts = [
    ...(isOutput ? [stdout] : []),
    ...(typeof stderr === 'string' && stderr !== '' ? [`[stderr]\n${stderr}`] : []),
    ...(rest === '{}' ? [] : [rest]),
  ];
  return { content: texts.map(textBlock) };
}

/** A refusal: what went wrong and what to do instead. */
export function toolRefusal(error: unknown): CallToolResult {
  const { body } = problemOf(error);
  const text = body.message === undefined ? body.error : `${body.error}: ${body.message}`;
  return { content: [textBlock(text)], isError: true };
}

function textBlock(text: string): TextContent {
  return { type: 'text', text };
}

/** Shorter is not worth a word. */
const LONG_MS = 1000;

/** The fields of a command without those that say nothing: a model pays for each character. */
function tellingFields(fields: Answer, hasKey: boolean): Answer {
  const {
    exit_code,
    status,
    session,
    duration_ms,
    stdout_bytes,
    stderr_bytes,
    truncated,
    usage,
    repeat: _,
    reason: __,
    ...kept
  } = fields;
  const isOpen = status === 'running' || status === 'waiting';
  const isCut = truncated === true;
  return {
    ...(exit_code !== 0 && exit_code !== null && { exit_code }),
    ...(status !== 'done' && { status }),
    ...((isOpen || isCut || hasKey || status !== 'done' || kept['message'] !== undefined) && { session }),
    ...((isOpen || isCut) && { stdout_bytes, ...(stderr_bytes !== 0 && { stderr_bytes }) }),
    ...(typeof duration_ms === 'number' && duration_ms >= LONG_MS && { duration_ms }),
    ...(usage !== undefined && status !== 'done' && { usage }),
    ...kept,
  };
}
