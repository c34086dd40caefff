/**
 * A strict client, as a chat's host has it: it drops what comes after 45 s or has 100,000 characters and more, and puts
 * each call on record. As such a host, it also moves a file by a link of the server, whose bytes no model reads:
 *
 *     TRIAL_URL=http://127.0.0.1:5000 TRIAL_TOKEN=… TRIAL_LOG=calls.jsonl bun client.ts PATH < body.json
 *     … bun client.ts put LINK FILE
 *     … bun client.ts get LINK FILE
 */
import { appendFileSync, statSync } from 'node:fs';

const ROUND_TRIP_MS = 45_000;
const MOST_CHARS = 100_000;

/** One call as it is on record. */
export interface Call {
  /** Of the URL, or `put` or `get` for a link. */
  readonly path: string;
  /** Of HTTP; -1 for an answer that was too late or never came, -2 for one that was too long. */
  readonly status: number;
  /** Characters that the model has to write. */
  readonly sent: number;
  /** Characters that the model has to read. */
  readonly received: number;
  /** Of those sent and received, the ones in lines of base64. */
  readonly base64: number;
  /** Bytes of a file that a link has moved, outside of the conversation. */
  readonly outside: number;
  readonly seconds: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Bytes of a file that was moved. */
  readonly outside?: number;
}

async function ask(url: string, init: RequestInit, read: (response: Response) => Promise<Answer>): Promise<Answer> {
  try {
    const answer = await read(await fetch(url, { ...init, signal: AbortSignal.timeout(ROUND_TRIP_MS) }));
    if (answer.text.length >= MOST_CHARS) return { status: -2, text: 'ClientResponseError: response too large' };
    return answer;
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { status: -1, text: `ClientResponseError: ${isLate ? 'timed out' : 'no answer'}` };
  }
}

const textOf = async (response: Response): Promise<Answer> => ({
  status: response.status,
  text: await response.text(),
});

function post(url: string, token: string, body: string): Promise<Answer> {
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' };
  return ask(url, { method: 'POST', headers, body }, textOf);
}

function put(link: string, file: string): Promise<Answer> {
  return ask(link, { method: 'PUT', body: Bun.file(file) }, async (response) => {
    const answer = await textOf(response);
    return response.ok ? { ...answer, outside: statSync(file).size } : answer;
  });
}

function get(link: string, file: string): Promise<Answer> {
  return ask(link, {}, async (response) => {
    if (!response.ok) return textOf(response);
    const outside = await Bun.write(file, await response.arrayBuffer());
    return { status: response.status, text: `${outside} bytes are in ${file}`, outside };
  });
}

/** How many characters stand in lines of base64: longer than a hash or the secret of a link, and no path. */
function base64In(text: string): number {
  const lines = text.match(/[A-Za-z0-9+/]{64,}/g) ?? [];
  const isCoded = (line: string): boolean => [/[A-Z]/, /[a-z]/, /\d/].every((kind) => kind.test(line));
  return lines.filter(isCoded).reduce((sum, line) => sum + line.length, 0);
}

function leave(text: string): never {
  console.error(text);
  process.exit(2);
}

if (import.meta.main) {
  const { TRIAL_URL = '', TRIAL_TOKEN = '', TRIAL_LOG = 'calls.jsonl' } = process.env;
  const [path = '/', link = '', file = ''] = process.argv.slice(2);
  const move = { put, get }[path];
  if (move !== undefined && file === '') leave(`usage: ${path} LINK FILE`);
  if (move !== undefined && !link.startsWith(`${TRIAL_URL}/`)) leave(`${link} is no link of this server`);
  if (move === put && !statSync(file, { throwIfNoEntry: false })?.isFile()) leave(`there is no file ${file}`);
  const written = move === undefined ? await Bun.stdin.text() : `${link} ${file}`;
  const began = performance.now();
  const answer = move === undefined ? post(TRIAL_URL + path, TRIAL_TOKEN, written) : move(link, file);
  const { status, text, outside = 0 } = await answer;
  const seconds = Math.round((performance.now() - began) / 10) / 100;
  const base64 = base64In(written) + base64In(text);
  const call: Call = { path, status, sent: written.length, received: text.length, base64, outside, seconds };
  appendFileSync(TRIAL_LOG, `${JSON.stringify(call)}\n`);
  console.log(text);
}
