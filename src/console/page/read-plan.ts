import { planArgsText, planText, type WholePlan } from '../../access/plan.ts';
import { hex, sha256 } from '../order.ts';
import type { CanaryGroup } from '../shown.ts';
import { post } from './api.ts';

/** A plan as it came, the SHA-256 that an order names, and what its canary wrote, which is of no digest. */
export interface ReadPlan {
  readonly plan: WholePlan;
  readonly digest: string;
  readonly canary: readonly CanaryGroup[];
}

export async function readPlan(run: string): Promise<ReadPlan> {
  const text = await readParts((from) => post('plan', { run, from }));
  const { plan, canary }: Omit<ReadPlan, 'digest'> = JSON.parse(text);
  return { plan, canary, digest: await digestOfPlan(plan) };
}

/** Of what is shown: it is computed here. */
export async function digestOfPlan(plan: WholePlan): Promise<string> {
  const cmd_sha256 = await sumOf(String(plan.args['cmd']));
  return sumOf(planText({ ...plan, cmd_sha256, args_sha256: await sumOf(planArgsText(plan)) }));
}

async function sumOf(text: string): Promise<string> {
  return hex(await sha256(text));
}

interface Part {
  readonly text: string;
  readonly next: number | null;
}

/** A long text, part by part. */
export async function readParts(ask: (from: number) => Promise<Part>): Promise<string> {
  let text = '';
  for (let from: number | null = 0; from !== null; ) {
    const part: Part = await ask(from);
    text += part.text;
    from = part.next;
  }
  return text;
}
