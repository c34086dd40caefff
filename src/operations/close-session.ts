import { Type } from '@sinclair/typebox';
import type { OperationDeps } from '../calls/context.ts';
import { nextTurn } from '../lib/clock.ts';
import { defineOperation, type Operation } from './operation.ts';

/** `close_session`: stops what still runs of a session, then removes its files. */
export function closeSessionOperation(deps: OperationDeps): Operation {
  const { store, commands } = deps;
  return defineOperation(deps, {
    name: 'close_session',
    summary: 'Remove a session',
    description:
      'Stops what a session still runs and deletes its output. Ended sessions expire by themselves: use it for left-over processes.',
    args: Type.Object({ session: Type.String({ description: 'Id from an answer.' }) }),
    result: Type.Object({ status: Type.Literal('closed') }),
    destructive: true,
    readOnly: false,
    run: async ({ session: id }, call) => {
      const session = store.get(id, call.principal);
      await commands.stop(session, 'killed');
      // Who waits for this session answers with its last output first.
      await nextTurn();
      store.remove(session);
      return { status: 'closed' };
    },
  });
}
