import { expect, test } from 'bun:test';
import { faultsIn } from './installed.ts';
import type { Vm } from './vm.ts';

/** The check that finds it, and alone, but for `others`, which have causes of their own. */
export type Fault = readonly [
  what: string,
  check: string,
  breakIt: string,
  mendIt: string,
  advice: string,
  others?: readonly string[],
];

/** A test that breaks something in a machine whose agent is well, asks the doctor, and mends it. */
export function testFault(machine: () => Vm, [what, check, breakIt, mendIt, advice, others = []]: Fault): void {
  const finds = async (): Promise<void> => {
    const vm = machine();
    await vm.sh(breakIt);
    const { code, stdout } = await vm.run('agent3 doctor --json');
    await vm.sh(mendIt);
    expect(code).toBe(1);
    const wrong = faultsIn(vm, stdout);
    expect(wrong.map((finding) => finding.check)).toEqual([check, ...others]);
    expect(wrong[0]?.advice).toContain(advice);
    expect(stdout).not.toContain('NaN');
  };
  test(`finds ${what} wrong in ${check}, once, and says what to do`, finds);
}
