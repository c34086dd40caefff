/**
 * A strict client, as a chat's host has it: it drops what comes after 45 s or has 100,000 characters and more, and puts
 * each call on record.
 *
 *     TRIAL_URL=http://127.0.0.1:5000 TRIAL_TOKEN=… TRIAL_LOG=calls.jsonl bun client.ts PATH < body.json
 */
import { appendFileSync } from 'node:fs';

const ROUND_TRIP_MS = 45_000;
const MOST_CHARS = 100_000;

/** One call as it is on record. */
export interface Call {
  readonly path: string;
  /** Of HTTP; -1 for an answer that was too late or never came, -2 for one that was too long. */
  readonly status: number;
  readonly sent: number;
  /** Characters that the model has to read. */
  readonly received: number;
  readonly seconds: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function post(url: string, token: string, body: string): Promise<Answer> {
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' };
  try {
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(ROUND_TRIP_MS) });
    const text = await response.text();
    if (text.length >= MOST_CHARS) return { status: -2, text: 'ClientResponseError: response too large' };
    return { status: response.status, text };
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { status: -1, text: `ClientResponseError: ${isLate ? 'timed out' : 'no answer'}` };
  }
}

if (import.meta.main) {
  const path = process.argv[2] ?? '/';
  const { TRIAL_URL = '', TRIAL_TOKEN = '', TRIAL_LOG = 'calls.jsonl' } = process.env;
  const body = await Bun.stdin.text();
  const began = performance.now();
  const { status, text } = await post(TRIAL_URL + path, TRIAL_TOKEN, body);
  const seconds = Math.round((performance.now() - began) / 10) / 100;
  const call: Call = { path, status, sent: body.length, received: text.length, seconds };
  appendFileSync(TRIAL_LOG, `${JSON.stringify(call)}\n`);
  console.log(text);
}
