import { basename } from 'node:path';
import { visibleLine } from '../lib/visible.ts';
import type { NetSocket } from './proc-waits.ts';
import { BUSY_PERCENT, findWait, type NamedProcess, type OpenInput, type Wait } from './waiting.ts';

/** Why a command is silent. */
export interface Silence {
  /** What it waits for. */
  readonly what: string;
  /** The same, with the call that helps while it runs. */
  readonly text: string;
  /** Whether it waits for input. */
  readonly asks: boolean;
  /** Whether it waits for clients of the network: it is meant to run for good. */
  readonly serves: boolean;
  /** Whether its owner types, and nobody else may. */
  readonly isTaken?: boolean;
  /** The operations that the text advises. */
  readonly calls: readonly ('read_session' | 'write_session' | 'kill_session')[];
}

/** Why a command is silent whose terminal the owner has taken over. */
export const OWNER_TYPES: Silence = {
  what: 'Your owner typed in its terminal.',
  text: 'Your owner is typing in this terminal: write_session writes nothing until it is handed back. Follow it with read_session and wait.',
  asks: true,
  serves: false,
  isTaken: true,
  calls: ['read_session'],
};

/** Finds out what silent commands wait for. Calls that come during a look share it. */
export class Looks {
  readonly #underWay = new Map<string, Promise<Silence | undefined>>();

  /** `mask` masks the secrets in the words of a process. */
  constructor(private readonly mask: (words: string) => string) {}

  /** Looks at the processes of `session`, each piece when it is its `turn`; undefined if the reason is unknown. */
  at(
    session: string,
    members: () => readonly number[],
    input: OpenInput | undefined,
    turn: () => Promise<void>,
  ): Promise<Silence | undefined> {
    const underWay = this.#underWay.get(session);
    if (underWay !== undefined) return underWay;
    const look = lookAt(members, input, turn, this.mask).finally(() => this.#underWay.delete(session));
    this.#underWay.set(session, look);
    return look;
  }
}

async function lookAt(
  members: () => readonly number[],
  input: OpenInput | undefined,
  turn: () => Promise<void>,
  mask: (words: string) => string,
): Promise<Silence | undefined> {
  await turn();
  const wait = await findWait(members(), input, turn);
  if (wait === undefined) return undefined;
  const asks = wait.kind === 'input';
  const what = describeWait(wait, (one) => nameOf(one, mask));
  const advice = adviceFor(wait);
  return {
    what: `${what}.`,
    text: advice === undefined ? `${what}.` : `${what}: ${advice}.`,
    asks,
    serves: wait.kind === 'network' && wait.socket.state === 'listening',
    calls: asks ? ['write_session'] : wait.kind === 'stopped' ? ['kill_session'] : [],
  };
}

/** Describes what a command waits for, as a sentence for the model, without the full stop. */
function describeWait(wait: Wait, nameOf: (one: NamedProcess) => string): string {
  const who = nameOf(wait.process);
  switch (wait.kind) {
    case 'input':
      return `${who} waits for input${wait.on === 'terminal' ? ' on its terminal' : ''}`;
    case 'lock':
      return `${who} waits for the lock on ${wait.path.slice(0, 200)}, held by ${wait.holder === undefined ? 'a process that cannot be seen' : nameOf(wait.holder)}`;
    case 'network':
      return `${who} ${describeSocket(wait.socket)}`;
    case 'cpu':
      return `${who} is busy with the CPU (${wait.percent} %${wait.percent < BUSY_PERCENT ? ', as much as a busy machine assigns it' : ''})`;
    case 'disk':
      return `${who} waits for a disk or a file system`;
    case 'stopped':
      return `${who} is stopped (SIGSTOP)`;
    case 'sleep':
      return wait.seconds === undefined ? `${who} sleeps` : `${who} sleeps for ${formatSeconds(wait.seconds)}`;
    case 'fifo':
      return `${who} waits for the other side of the named pipe ${wait.path.slice(0, 200)}`;
    default:
      return wait satisfies never;
  }
}

/** Returns the call that helps a command which waits; undefined if none does. */
function adviceFor(wait: Wait): string | undefined {
  if (wait.kind === 'stopped') return 'kill_session with signal CONT continues it';
  if (wait.kind !== 'input') return undefined;
  return wait.on === 'terminal'
    ? 'answer with write_session'
    : 'send it with write_session, or close: true for its end';
}

/** A longer name is cut: the first words distinguish processes. */
const MOST_CHARS = 60;

/** Returns the name of a process from its words and its pid: `rsync -a /srv nas: (pid 4711)`. */
function nameOf({ pid, words }: NamedProcess, mask: (words: string) => string): string {
  const [program = '', ...rest] = words;
  // The shell of the command itself: its caller knows the text.
  const isOwnShell = rest[0] === '-c' && rest[1] === '--';
  // A title that a program has set itself is one word with blanks.
  const isTitle = rest.length === 0 && program.includes(' ');
  const shown = isTitle ? program : [basename(program), ...(isOwnShell ? [] : rest)].map(quote).join(' ');
  const text = visibleLine(mask(shown));
  return `${text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS - 1)}…` : text} (pid ${pid})`;
}

/** Quotes a word for a shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function formatSeconds(seconds: number): string {
  return seconds < 0.1 ? 'less than 0.1 s' : `${Math.round(seconds * 10) / 10} s`;
}

function describeSocket({ state, address }: NetSocket): string {
  switch (state) {
    case 'connecting':
      return `waits for its connection to ${address}`;
    case 'connected':
      return `waits for data from ${address}`;
    case 'listening':
      return `listens on ${address} for clients`;
    default:
      return state satisfies never;
  }
}
