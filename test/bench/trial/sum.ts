/**
 * Sums up plays that have ended, and says whether the bars hold:
 *
 *     bun test/bench/trial/sum.ts DIRECTORY…
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Call } from './client.ts';
import type { Result, Side } from './run.ts';

interface Play extends Result {
  readonly directory: string;
  readonly calls: number;
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly refused: number;
  readonly seconds: number;
}

function playIn(directory: string): Play {
  const text = (name: string): string => readFileSync(join(directory, name), 'utf8');
  const calls = text('calls.jsonl')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Call);
  const total = (value: (call: Call) => number): number => calls.reduce((sum, call) => sum + value(call), 0);
  return {
    ...(JSON.parse(text('result.json')) as Result),
    directory,
    calls: calls.length,
    sent: total(({ sent }) => sent),
    received: total(({ received }) => received),
    lost: total(({ status }) => Number(status < 0)),
    refused: total(({ status }) => Number(status >= 400)),
    seconds: Math.round(total(({ seconds }) => seconds)),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

const plays = process.argv.slice(2).map(playIn);
const COLUMNS = ['calls', 'sent', 'received', 'lost', 'refused', 'seconds'] as const;
console.log(`| play | jobs missed | ${COLUMNS.join(' | ')} |\n| --- | --- |${' --- |'.repeat(COLUMNS.length)}`);
for (const { side, directory, missed, ...play } of plays) {
  const figures = COLUMNS.map((column) => play[column]).join(' | ');
  console.log(`| ${side} ${directory} | ${missed.join(', ') || 'none'} | ${figures} |`);
}

const medianOf = (side: Side, column: (typeof COLUMNS)[number]): number =>
  median(plays.filter((play) => play.side === side).map((play) => play[column]));
const bars: readonly (readonly [text: string, holds: boolean])[] = [
  ['calls: at most one more', medianOf('agent3', 'calls') <= medianOf('plain', 'calls') + 1],
  ['characters received: at most 0.9 ×', medianOf('agent3', 'received') <= 0.9 * medianOf('plain', 'received')],
  ['no answer lost', plays.every(({ side, lost }) => side !== 'agent3' || lost === 0)],
];
for (const side of ['agent3', 'plain'] as const)
  console.log(`${side}, medians: ${COLUMNS.map((column) => `${column} ${medianOf(side, column)}`).join(', ')}`);
for (const [text, holds] of bars) console.log(`${holds ? 'holds' : 'FAILS'}: ${text}`);
process.exitCode = bars.every(([, holds]) => holds) ? 0 : 1;
