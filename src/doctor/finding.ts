import { visibleText } from '../core/visible.ts';

/** One thing that was looked at. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** What was found. */
  readonly found: string;
  /** What to do; only where something is wrong. */
  readonly advice?: string;
}

export function good(check: string, found: string): Finding {
  return { check, ok: true, found };
}

export function bad(check: string, found: string, advice: string): Finding {
  return { check, ok: false, found, advice };
}

/** A line for each, with what to do below those that are wrong. */
export function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, ok, found, advice }) => {
      const line = `${ok ? '✓' : '✗'} ${check.padEnd(width)}  ${found}`;
      return advice === undefined ? line : `${line}\n  ${' '.repeat(width)}  → ${advice}`;
    })
    .map(visibleText)
    .join('\n');
}
