import { constants } from 'node:os';
import { Type } from '@sinclair/typebox';
import { type Hint, messageOf, outputFields, stateOf } from '../calls/answer.ts';
import type { OperationDeps } from '../calls/context.ts';
import { asksToEnd, SIGNALS } from '../process/signals.ts';
import type { SessionStatus } from '../sessions/record.ts';
import { defineOperation, type Operation } from './operation.ts';

/** How long the answer waits for a command that has just been started to begin, on a busy machine. */
const BEGIN_SECONDS = 10;

/** `kill_session`: sends a signal to every process of a session; its output stays. */
export function killSessionOperation(deps: OperationDeps): Operation {
  const { store, commands } = deps;
  return defineOperation(deps, {
    name: 'kill_session',
    summary: 'Stop a command',
    description: 'Signals every process of a session. Its output stays.',
    args: Type.Object({
      session: Type.String({ description: 'Its id.' }),
      signal: Type.Union(
        SIGNALS.map((signal) => Type.Literal(signal)),
        { default: 'TERM', description: 'KILL forces the end, HUP often reloads.' },
      ),
    }),
    result: Type.Object({
      session: Type.String({ description: 'Id of the session.' }),
      status: Type.String({ description: 'State of the command after the signal.' }),
      frozen: outputFields.frozen,
      exit_code: Type.Union([Type.Integer(), Type.Null()], { description: 'Exit code; null while it runs.' }),
      signalled: Type.Integer({ description: 'How many processes got the signal.' }),
      message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
    }),
    destructive: true,
    readOnly: false,
    whileFrozen: true,
    normalize: (args) => ({ ...args, ...signalOf(args['signal']) }),
    run: async ({ session: id, signal }, call) => {
      const session = store.get(id, call.principal);
      const isWaiting = session.record.status === 'waiting';
      // Most signals would continue a stopped process.
      if (signal !== 'KILL' && !isWaiting) deps.freeze.require('Meanwhile, kill_session accepts only signal KILL.');
      const signalled = await commands.signal(session, signal, call.deadline.orAfter(BEGIN_SECONDS));
      const { status, exit_code } = session.record;
      return {
        session: session.id,
        status,
        exit_code,
        signalled,
        ...stateOf(session.record),
        ...messageOf(isWaiting ? WITHDRAWN : hint(signal, signalled, status, commands.isSupervised(session))),
      };
    },
  });
}

const WITHDRAWN = 'The request for approval was withdrawn: the command has not run and will not run.';

/** The signals that ask a command to end. */
export const ENDING_SIGNALS = SIGNALS.filter(asksToEnd);

/** `SIGKILL`, `kill`, 9 and `"9"` are KILL. */
export function signalOf(given: unknown): { readonly signal?: string } {
  const named = SIGNALS.find((name) => String(given).trim() === String(constants.signals[`SIG${name}`]));
  if (named !== undefined) return { signal: named };
  return typeof given === 'string' ? { signal: given.trim().toUpperCase().replace(/^SIG/, '') } : {};
}

function hint(signal: string, signalled: number, status: SessionStatus, alive: boolean): Hint {
  if (signalled === 0 && alive)
    return { text: 'The command has not begun yet. Call kill_session again.', calls: ['kill_session'] };
  if (signalled === 0)
    return {
      text: 'No process of this session was running, so nothing was signalled. read_session has its output.',
      calls: ['read_session'],
    };
  if (!alive) return undefined;
  const subject = status === 'running' ? 'The command' : 'A process that the command left behind';
  if (signal === 'STOP')
    return { text: `${subject} is stopped: kill_session with signal CONT continues it.`, calls: ['kill_session'] };
  if (['CONT', 'USR1', 'USR2', 'HUP'].includes(signal))
    return { text: `${subject} still runs; read_session shows what it writes.`, calls: ['read_session'] };
  return signal === 'KILL'
    ? { text: `${subject} is ending. read_session with wait shows its end.`, calls: ['read_session'] }
    : {
        text: `${subject} still runs: it may ignore SIG${signal}. kill_session with signal KILL ends it.`,
        calls: ['kill_session'],
      };
}
