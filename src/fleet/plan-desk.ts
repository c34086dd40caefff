import { planDigest, signedPlanOf } from '../access/approval-request.ts';
import type { SignedPlan } from '../access/plan.ts';
import { Conflict } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import type { FleetRequest } from './envelope.ts';
import type { Membership } from './membership.ts';

/** Arguments that `run_on` sends. Others, such as a context, are not in a plan: their effect differs on each server. */
const ARGUMENTS: readonly string[] = ['cmd', 'cwd', 'stdin', 'timeout', 'key', 'max_output'];
/** Limit for remembered plans. A forgotten plan could be approved a second time. */
const MOST_ASKED = 20_000;

/** The plans of calls of the hub. Each plan can ask here once in the life of this process. */
export class PlanDesk {
  readonly #asked = new Set<string>();

  constructor(
    private readonly membership: Pick<Membership, 'hub_key' | 'name' | 'key'>,
    private readonly instance: string,
  ) {}

  /**
   * Returns the plan of a call. Its hub, token and command are those of the call, so a signature for another call does not
   * count. Throws `Conflict`.
   */
  take({ plan, args, principal }: Pick<FleetRequest, 'plan' | 'args' | 'principal'>): SignedPlan | undefined {
    if (plan === undefined) return undefined;
    const { hub_key: hub, name, key } = this.membership;
    const { run, salt, servers } = plan;
    const [own, ...more] = servers.filter((one) => one.key === key);
    if (own === undefined || more.length > 0 || own.name !== name)
      throw new Conflict(`Nothing was run: the plan of this run does not name this server, ${name}.`);
    if (own.instance !== this.instance)
      throw new Conflict(
        'Nothing was run: this agent was started after the plan of this run was made. Run it again: run_on with select "failed:RUN".',
      );
    const given = argsOf(args);
    const other = Object.keys(given).find((one) => !ARGUMENTS.includes(one));
    if (other !== undefined)
      throw new Conflict(`Nothing was run: a plan does not allow ${visibleLine(other).slice(0, 40)}.`);
    const signed = signedPlanOf({ hub, run, principal, salt, args: given, servers });
    const digest = planDigest(signed);
    if (this.#asked.has(digest)) throw new Conflict('Nothing was run: this server was asked about this plan before.');
    if (this.#asked.size >= MOST_ASKED)
      throw new Conflict(
        `Nothing was run: this server was asked about more than ${MOST_ASKED} plans since its agent was started.`,
      );
    this.#asked.add(digest);
    return signed;
  }
}

function argsOf(args: unknown): Readonly<Record<string, unknown>> {
  return typeof args === 'object' && args !== null && !Array.isArray(args) ? { ...args } : {};
}
