import type { Trail } from '../audit/trail.ts';
import type { Commands } from '../commands/commands.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { StopAllOrder, StopOrder } from './order.ts';

export interface StopDeps {
  readonly commands: Pick<Commands, 'stop' | 'isSupervised'>;
  readonly store: Pick<SessionStore, 'all'>;
  readonly trail: Pick<Trail, 'agent'>;
}

/** Stops the commands that an order of `by` names. Returns the reason when it is not done. */
export async function stopCommands(
  { commands, store, trail }: StopDeps,
  order: StopOrder | StopAllOrder,
  by: string,
): Promise<string | undefined> {
  const sessions = [...store.all()].filter(
    (session) =>
      commands.isSupervised(session) &&
      (order.kind === 'stop' ? session.id === order.session : session.record.status !== 'waiting'),
  );
  if (order.kind === 'stop' && sessions.length === 0) return 'nothing of this session runs';
  const { id, kind } = order;
  const which = order.kind === 'stop' ? { session: order.session } : { sessions: sessions.length };
  trail.agent('order', { kind, order: id, by, ...which });
  const stop = async (session: Session): Promise<void> => {
    if (session.record.status === 'running') session.update({ stopped_by: by });
    await commands.stop(session, 'killed');
  };
  const ends = await Promise.allSettled(sessions.map(stop));
  const failed = ends.filter(({ status }) => status === 'rejected').length;
  return failed === 0 ? undefined : `${failed} of ${sessions.length} commands do not end`;
}
