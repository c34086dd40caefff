import { type CallContext, contextOf, underPolicy } from '../calls/context.ts';
import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { SessionNotFound } from '../lib/errors.ts';
import type { FleetDeps } from './fleet-deps.ts';
import { NOBODY } from './known-server.ts';
import type { AskOnce, CallOne } from './run.ts';
import { RunApproval } from './run-approval.ts';

/** How a run calls a server: under the policy of the token at that moment, with its line on record. */
export function callsOf({ deps, door }: FleetDeps, context: CallContext): CallOne {
  const { principal, address } = context;
  const request = context.request ?? Bun.randomUUIDv7();
  return (server, op, given, shared, cancelled) => {
    const call = {
      ...{ principal, address, request },
      deadline: Deadline.after(deps.limits.replySeconds),
      shutdown: new OneShotEvent(),
      // Of a session both streams are wanted, which the lean doors do not send together.
      isLean: op === 'shell',
      ...(cancelled !== undefined && { cancelled }),
      via: { server: `${server.name}@${server.tag}`, request },
    };
    // Looks again and again at one session: they are no calls of the client.
    if (op === 'read_session') {
      if (!door.servers().some(({ key }) => key === server.key))
        throw new SessionNotFound('It was removed from the fleet.');
      return door.callServer(server, op, given, contextOf(deps, call));
    }
    const whileFrozen = op === 'kill_session';
    const subject = { name: op, needs: op, readOnly: false, recorded: 'before', whileFrozen } as const;
    return underPolicy(deps, subject, given, call, (policy) =>
      door.callServer(server, op, given, { ...policy, shared }),
    );
  };
}

/** How a run asks once for several of its servers: the processes that run there now, and no later one. */
export function askOnceOf({ door, runs }: FleetDeps): AskOnce {
  return (run, servers) => {
    const now = new Map(door.servers().map(({ key, shown }) => [key, shown?.instance]));
    const asked = servers.map(({ name, key }) => ({ name, key, instance: now.get(key) ?? NOBODY }));
    const { id, principal, plan } = run;
    const whole = { hub: door.key, run: id, principal, salt: crypto.randomUUID(), args: plan.args, servers: asked };
    return new RunApproval(whole, (server, file) => door.order(server.key, file), runs.changed);
  };
}
