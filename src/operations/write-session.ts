import { type Static, Type } from '@sinclair/typebox';
import type { OperationDeps } from '../calls/context.ts';
import { leftOverOf, silenceOf, typedHint } from '../calls/hints.ts';
import { sliceAnswer, sliceFields } from '../calls/slice.ts';
import { waitForPrompt } from '../commands/prompt.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { LOOK_SECONDS, MAX_WAIT_SECONDS } from '../lib/limits.ts';
import type { CommandInput } from '../process/input.ts';
import type { Session } from '../sessions/session.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';

/** `write_session`: types into the open input of a command, and answers with the result. */
export function writeSessionOperation(deps: OperationDeps): Operation {
  const { store, commands, limits } = deps;
  return defineOperation(deps, {
    name: 'write_session',
    summary: 'Type into a command',
    description: 'Types into a command started with interactive or pty, and answers with what it writes then.',
    args: writeArguments,
    result: Type.Object({
      ...sliceFields,
      written: Type.Integer({ description: 'Bytes of input that the command took.' }),
    }),
    destructive: true,
    readOnly: false,
    run: async (given, call) => {
      const session = store.get(given.session, call.principal);
      const before = session.sizeOf('stdout');
      const otherFrom = session.sizeOf('stderr');
      const isOver = commands.endOf(session) === undefined;
      const bytes = bytesOf(given);
      // What the model saw when it wrote this may differ from what its owner has left there.
      const isHeld = session.typist !== undefined || Boolean(session.record.owner_note);
      const written = isOver || isHeld ? 0 : type(openInputOf(session, commands.inputOf(session)), bytes, given);
      if (given.wait > 0) {
        call.watch?.(() => session.totalBytes());
        const deadline = call.deadline.before(LOOK_SECONDS).orAfter(given.wait);
        await waitForPrompt(commands, session, deadline, call.shutdown);
      }
      const slice = {
        offset: before,
        otherFrom,
        limit: limits.maxOutputBytes,
        stream: 'stdout',
        encoding: 'utf8',
      } as const;
      // A call that does not wait is still typing: finding out why a command is silent takes 0.1 s.
      const silence = given.wait > 0 || isHeld ? await silenceOf(commands, session) : undefined;
      const fate = isHeld && !isOver ? 'Nothing was written.' : fateOf(written, bytes.length, isOver);
      const more = [
        fate,
        written === 0 ? undefined : typedHint(session.record, given.encoding === 'utf8' ? given.input : ''),
      ];
      const notes = { silence, leftOver: await leftOverOf(commands, session, call.masker), more };
      const maxReplyChars = call.maxReplyChars - WRITTEN_CHARS;
      const answer = await sliceAnswer(deps, session, { ...slice, ...plainOf(given) }, notes, {
        ...call,
        maxReplyChars,
      });
      return { ...answer, written };
    },
  });
}

/** The size of `written` in an answer. */
const WRITTEN_CHARS = 30;

const writeArguments = Type.Object({
  session: Type.String({ description: 'Its id.' }),
  input: Type.String({
    maxLength: 65_536,
    default: '',
    description: 'Text; a line ends with a newline. \\u0003 is Ctrl-C.',
  }),
  encoding: Type.Union([Type.Literal('utf8'), Type.Literal('base64')], {
    default: 'utf8',
    description: 'base64: input is exact bytes.',
    ...SELDOM,
  }),
  close: Type.Boolean({ default: false, description: 'Ends the input after it, like Ctrl-D.' }),
  wait: Type.Number({
    minimum: 0,
    maximum: MAX_WAIT_SECONDS,
    default: 5,
    description: 'Seconds to wait for a prompt or the end.',
  }),
  plain: Type.Optional(Type.Boolean({ description: 'No escape sequences. Default: true after pty.', ...SELDOM })),
});

function plainOf({ plain }: Static<typeof writeArguments>): { readonly plain?: boolean } {
  return plain === undefined ? {} : { plain };
}

/** Throws `InvalidArguments` for a command whose input is not open. */
function openInputOf(session: Session, input: CommandInput | undefined): CommandInput {
  if (input?.isOpen === true) return input;
  if (session.record.status === 'waiting')
    throw new InvalidArguments('This command waits for a person to approve it, and reads nothing before that.');
  throw new InvalidArguments(
    session.record.input === undefined
      ? 'This command was started without an open input. Stop it with kill_session and run it again with interactive: true, or pty: true for a terminal.'
      : 'The input of this command is closed: its end was sent, or the agent was restarted meanwhile. read_session shows its further output.',
  );
}

/** Throws `InvalidArguments` for invalid Base64. */
function bytesOf({ input, encoding }: Static<typeof writeArguments>): Uint8Array {
  if (encoding === 'utf8') return Buffer.from(input);
  const bytes = Buffer.from(input, 'base64');
  if (bytes.toString('base64') === input) return bytes;
  throw new InvalidArguments('input is not Base64 with padding, as encoding says. Nothing was written.');
}

function type(input: CommandInput, bytes: Uint8Array, { close, encoding }: Static<typeof writeArguments>): number {
  const written = bytes.length === 0 ? 0 : input.write(bytes, encoding === 'utf8');
  if (close && written === bytes.length) input.close();
  return written;
}

function fateOf(written: number, length: number, isOver: boolean): string | undefined {
  if (isOver) return 'The command had ended before, so nothing was written.';
  if (written === length) return undefined;
  return `The command does not read: it took ${written} of ${length} bytes. Send the rest again when it continues.`;
}
