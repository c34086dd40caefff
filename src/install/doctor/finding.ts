import { describeRefusal, errnoOf } from '../../lib/errors.ts';
import { visibleText } from '../../lib/visible.ts';
import { InstallFault } from '../machine.ts';

/** What a look at one thing has found. */
export interface Found {
  readonly ok: boolean;
  readonly found: string;
  /** What to do; only where something is wrong. */
  readonly advice?: string;
  /** Checks that would only find the same cause; they are left out. */
  readonly left_out?: readonly string[];
}

/** The same with the name of the check. */
export interface Finding extends Found {
  readonly check: string;
}

/** A check by its name: findings of earlier ones may leave it out. */
export type Check = readonly [name: string, look: () => Found | Promise<Found>];

/** Looks in order, causes first; what a finding leaves out is not looked at, and the finding says so. */
export async function lookAt(checks: readonly Check[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, look] of checks) {
    if (!findings.some(({ left_out = [] }) => left_out.includes(name)))
      findings.push({ check: name, ...(await lookOnce(look)) });
  }
  const names = checks.map(([name]) => name);
  return findings.map(({ left_out, ...finding }) => {
    const left = names.filter((name) => left_out?.includes(name));
    if (left.length === 0) return finding;
    return { ...finding, found: `${finding.found}; therefore not checked: ${left.join(', ')}`, left_out: left };
  });
}

/** A look that the system refuses is a finding, and ends no other. */
async function lookOnce(look: Check[1]): Promise<Found> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof InstallFault) && errnoOf(error) === undefined) throw error;
    const what = error instanceof InstallFault ? error.message : describeRefusal(error);
    return bad(what, 'correct it, or let agent3 install do it; then: agent3 doctor');
  }
}

export function good(found: string): Found {
  return { ok: true, found };
}

export function bad(found: string, advice: string, leftOut: readonly string[] = []): Found {
  return { ok: false, found, advice, ...(leftOut.length > 0 && { left_out: leftOut }) };
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
