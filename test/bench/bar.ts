/** One line of the table: something measured, what it is held against, and whether it holds. */
export interface Row {
  readonly bar: string;
  readonly measured: string;
  /** The peer's figure in the same run; `–` for a bar that is absolute. */
  readonly baseline: string;
  readonly limit: string;
  readonly value: string;
  /** Undefined when it could not be measured here. */
  readonly holds: boolean | undefined;
}

/** The middle of `values`, or their `part`-th quantile. */
export function median(values: readonly number[], part = 0.5): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** A bar on the ratio of what was measured to its baseline: at most `limit`, or at least. */
export function ratioRow(
  bar: string,
  figures: { readonly measured: number; readonly baseline: number; readonly unit: string; readonly peer: string },
  limit: { readonly atMost: number } | { readonly atLeast: number },
): Row {
  const ratio = figures.measured / figures.baseline;
  const holds = 'atMost' in limit ? ratio <= limit.atMost : ratio >= limit.atLeast;
  return {
    bar,
    measured: `${format(figures.measured)} ${figures.unit}`,
    baseline: `${figures.peer} ${format(figures.baseline)} ${figures.unit}`,
    limit: 'atMost' in limit ? `at most ${limit.atMost} ×` : `at least ${limit.atLeast} ×`,
    value: `${ratio.toFixed(2)} ×`,
    holds,
  };
}

/** A bar on the figure itself. */
export function limitRow(bar: string, measured: number, unit: string, atMost: number): Row {
  return {
    bar,
    measured: `${format(measured)} ${unit}`,
    baseline: '–',
    limit: `at most ${atMost} ${unit}`,
    value: `${format(measured)} ${unit}`,
    holds: measured <= atMost,
  };
}

/** A bar that this machine has not what it takes for: shown, never passed over. */
export function missingRow(bar: string, reason: string): Row {
  return { bar, measured: `not measured: ${reason}`, baseline: '–', limit: '–', value: '–', holds: undefined };
}

function format(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(3);
}
