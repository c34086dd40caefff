import { canonical } from '../lib/canonical.ts';

/**
 * One approval for the servers of a `run_on`. The hub, its servers and the owner's page share this file: it imports nothing
 * that a browser has not.
 */
export interface PlanServer {
  readonly name: string;
  /** The whole key. */
  readonly key: string;
  /** Of the process of its agent: a plan dies with it. */
  readonly instance: string;
}

/** What the digest of a plan is over. */
export interface SignedPlan {
  /** The key of the hub. */
  readonly hub: string;
  /** Id of the run. */
  readonly run: string;
  /** The token of the hub that asks. */
  readonly principal: string;
  readonly cmd_sha256: string;
  /** Of the arguments of `shell` and the salt. */
  readonly args_sha256: string;
  readonly servers: PlanServer[];
}

/** A call or a command that may be a part of a plan. */
export interface MayBePlanned {
  /** Returns its plan, if a person is asked about it; undefined without one. Throws `Conflict` if it is no part of it. */
  readonly plan?: () => SignedPlan | undefined;
}

/** A plan as the hub has it, and as a person is shown it. */
export interface WholePlan extends Omit<SignedPlan, 'cmd_sha256' | 'args_sha256'> {
  /** Random: the digest, which is on record, does not let anybody try what the arguments were. */
  readonly salt: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Whether a plan names a server as records do, `web1@abcdefgh`: its name, and letters 3 to 10 of its key. */
export function namesServer({ servers }: SignedPlan, server: unknown): boolean {
  return servers.filter(({ name, key }) => `${name}@${key.slice(2, 10).toLowerCase()}` === server).length === 1;
}

/** What of a plan goes with a call; the rest, the server knows of the call. */
export type PlanOfCall = Pick<WholePlan, 'run' | 'salt' | 'servers'>;

/** The text whose SHA-256 is `args_sha256`. */
export function planArgsText({ args, salt }: Pick<WholePlan, 'args' | 'salt'>): string {
  return canonical({ args, salt });
}

/** The text whose SHA-256 is the digest of a plan. */
export function planText({ hub, run, principal, cmd_sha256, args_sha256, servers }: SignedPlan): string {
  return canonical({ hub, run, principal, cmd_sha256, args_sha256, servers });
}
