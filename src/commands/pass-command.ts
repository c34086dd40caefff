import { closeSync, fchmodSync, fchownSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { HeldContext } from '../contexts/held-context.ts';
import { contextCommand, contextInput } from '../contexts/shell-script.ts';
import { openPipe } from '../linux/descriptors.ts';
import { openMemory } from '../process/beginning.ts';
import type { Descriptors } from '../process/start.ts';
import type { Session } from '../sessions/session.ts';
import type { NewCommand } from './command.ts';
import type { Isolation } from './isolation.ts';

/**
 * Returns the text for `-c` of a shell that reads its command, and what its context brings, from a descriptor. `more`
 * are the descriptors of the shell from number `first` on; this adds its own, which belong to `descriptors`. Throws the
 * system's error.
 */
export function passCommand(
  session: Session,
  { cmd, held, isolation }: Pick<NewCommand, 'cmd' | 'held' | 'isolation'>,
  first: number,
  more: number[],
  descriptors: Descriptors,
): string {
  const fd = first + more.length;
  if (held !== undefined) return passInContext(session, cmd, held, isolation, { fd, more, descriptors });
  more.push(descriptors.add(openInput(session, Buffer.from(cmd))));
  return readCommand(fd);
}

/** What the shell of a context reads is in memory, and no other user can open it. What it writes is in its session. */
function passInContext(
  session: Session,
  cmd: string,
  { items, call }: HeldContext,
  isolation: Isolation | undefined,
  { fd, more, descriptors }: { readonly fd: number; readonly more: number[]; readonly descriptors: Descriptors },
): string {
  const input = descriptors.add(openMemory(contextInput(items, cmd, call.given)));
  const open = (): number => descriptors.add(openSync(session.path('context'), 'a', 0o600));
  const output = [open(), open()];
  if (isolation !== undefined) giveAway(output, isolation);
  more.push(input, ...output);
  return contextCommand({ input: fd, output: [fd + 1, fd + 2] });
}

/** The descriptor is closed before the command begins. */
const readCommand = (fd: number): string => `eval "exec ${fd}<&-; $(/bin/cat <&${fd})"`;

/**
 * Opens an input that is a pipe with all of its content: nothing has to stay to write. If the system allows no pipe of
 * that size, it is a file without a name. The caller closes it.
 */
export function openInput(session: Session, bytes: Uint8Array): number {
  const pipe = openPipe(bytes.length);
  if (pipe === undefined) return openInputFile(session.path('stdin'), bytes);
  try {
    writeFileSync(pipe.writing, bytes);
    return pipe.reading;
  } catch (error) {
    closeSync(pipe.reading);
    throw error;
  } finally {
    closeSync(pipe.writing);
  }
}

function openInputFile(path: string, bytes: Uint8Array): number {
  writeFileSync(path, bytes, { mode: 0o600 });
  try {
    return openSync(path, 'r');
  } finally {
    rmSync(path);
  }
}

/**
 * The owner of the output of isolated commands. It runs nothing and owns nothing else: no id of this range is assigned
 * to anybody. Source: "Special Linux UIDs" and "Summary" of systemd's UIDS-GIDS page, 65520…65533 unused.
 */
const OUTPUT_OWNER = 65_533;

/** Assigns files to that owner, if the agent is root. */
export function giveAway(files: readonly number[], { sandbox, account }: Isolation): void {
  if (process.geteuid?.() !== 0 || (sandbox === undefined && account === undefined)) return;
  const group = account?.groups[0] ?? process.getegid?.() ?? 0;
  for (const fd of files) {
    fchownSync(fd, OUTPUT_OWNER, group);
    fchmodSync(fd, 0o620);
  }
}
