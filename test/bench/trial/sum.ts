/**
 * Sums up plays that have ended, and says whether the bars hold, for each set of jobs:
 *
 *     bun test/bench/trial/sum.ts DIRECTORY…
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Call } from './client.ts';
import { MOVED_BYTES } from './file-jobs.ts';
import type { JobSet, Result, Side } from './run.ts';

interface Play extends Result {
  readonly directory: string;
  readonly calls: number;
  readonly sent: number;
  readonly received: number;
  readonly base64: number;
  readonly outside: number;
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
    base64: total(({ base64 }) => base64),
    outside: total(({ outside }) => outside),
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

const COLUMNS = ['calls', 'sent', 'received', 'base64', 'outside', 'lost', 'refused', 'seconds'] as const;

type Bar = readonly [text: string, holds: boolean];
type Figure = (side: Side, value: (play: Play) => number) => number;

/** What has to hold for a set of jobs; `of` is the median of a side. */
const BARS: Readonly<Record<JobSet, (plays: readonly Play[], of: Figure) => readonly Bar[]>> = {
  server: (plays, of) => [
    ['calls: at most one more', of('agent3', ({ calls }) => calls) <= of('plain', ({ calls }) => calls) + 1],
    [
      'characters received: at most 0.9 ×',
      of('agent3', ({ received }) => received) <= 0.9 * of('plain', ({ received }) => received),
    ],
    ['no answer lost', plays.every(({ side, lost }) => side !== 'agent3' || lost === 0)],
  ],
  files: (plays, of) => {
    const characters = ({ sent, received }: Play): number => sent + received;
    return [
      ['calls: at most half', of('agent3', ({ calls }) => calls) <= 0.5 * of('plain', ({ calls }) => calls)],
      ['characters sent and received: at most 0.3 ×', of('agent3', characters) <= 0.3 * of('plain', characters)],
      ['no byte through base64', plays.every(({ side, base64 }) => side !== 'agent3' || base64 === 0)],
      ['both files went through the client', plays.every((play) => characters(play) + play.outside >= MOVED_BYTES)],
    ];
  },
};

/** Prints the plays of one set, and says whether all its bars hold. */
function sumUp(set: JobSet, plays: readonly Play[]): boolean {
  console.log(
    `## ${set}\n\n| play | jobs missed | ${COLUMNS.join(' | ')} |\n| --- | --- |${' --- |'.repeat(COLUMNS.length)}`,
  );
  for (const { side, directory, missed, ...play } of plays) {
    const figures = COLUMNS.map((column) => play[column]).join(' | ');
    console.log(`| ${side} ${directory} | ${missed.join(', ') || 'none'} | ${figures} |`);
  }
  const medianOf: Figure = (side, value) => median(plays.filter((play) => play.side === side).map(value));
  for (const side of ['agent3', 'plain'] as const)
    console.log(
      `${side}, medians: ${COLUMNS.map((column) => `${column} ${medianOf(side, (play) => play[column])}`).join(', ')}`,
    );
  const bars = BARS[set](plays, medianOf);
  for (const [text, holds] of bars) console.log(`${holds ? 'holds' : 'FAILS'}: ${text}`);
  return bars.every(([, holds]) => holds);
}

const plays = process.argv.slice(2).map(playIn);
const sets = [...new Set(plays.map(({ set }) => set))];
const held = sets.map((set) =>
  sumUp(
    set,
    plays.filter((play) => play.set === set),
  ),
);
process.exitCode = held.every(Boolean) ? 0 : 1;
