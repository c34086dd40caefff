import { Type } from '@sinclair/typebox';
import type { OperationDeps } from '../calls/context.ts';
import { nextTurn } from '../lib/clock.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { defineOperation, type Operation } from './operation.ts';

const ONE_OF_BOTH =
  'session is required: the id from an answer, or context: the name of a context to drop. Send one of them. Nothing was done.';

/** `close_session`: stops what still runs in a session, then removes its files. */
export function closeSessionOperation(deps: OperationDeps): Operation {
  const { store, contexts, commands } = deps;
  return defineOperation(deps, {
    name: 'close_session',
    summary: 'Remove a session',
    description: 'Stops what a session still runs and deletes its output. Ended sessions expire by themselves.',
    args: Type.Object({
      session: Type.Optional(Type.String({ description: 'Its id.' })),
      context: Type.Optional(Type.String({ description: 'Instead: the context to drop.' })),
    }),
    result: Type.Object({ status: Type.Literal('closed') }),
    destructive: true,
    readOnly: false,
    whileFrozen: true,
    run: async ({ session: id, context }, call) => {
      if ((id === undefined) === (context === undefined)) throw new InvalidArguments(ONE_OF_BOTH);
      if (context !== undefined) contexts.remove(call.principal, context);
      if (id === undefined) return { status: 'closed' };
      const session = store.get(id, call.principal);
      await commands.stop(session, 'killed');
      // Calls that wait for this session answer with its last output first.
      await nextTurn();
      store.remove(session);
      return { status: 'closed' };
    },
  });
}
