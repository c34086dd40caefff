import { basename, dirname, join } from 'node:path';
import { type Helper, shellScript } from '../commands/helper.ts';
import { MachineRefused } from '../lib/errors.ts';
import { OWN_DIRECTORIES } from '../sandbox/hidden.ts';
import { lastLine } from '../sandbox/sandbox-cause.ts';
import { changedOnItsWay, FRAME_BYTES, pathFault, type Sink, type Source } from './carrier.ts';
import type { StartScript } from './isolated.ts';
import { newName } from './own-files.ts';

/** Refuses by a word that `pathFault` knows. */
const NO = `no() { printf 'no %s\\0' "$1"; exit 0; }
`;
/** Refuses if the first argument is not the path of a file. */
const REFUSE = `[ -L "$1" ] && no ELOOP
[ -d "$1" ] && no EISDIR
[ ! -e "$1" ] || [ -f "$1" ] || no special
`;

/** Opens the file once, and writes pieces of it: each line that it reads has an offset and a number of bytes. */
const READ = `${NO}${REFUSE}[ -e "$1" ] || no ENOENT
[ -r "$1" ] || no EACCES
exec 4<"$1" || exit
set -- $(stat -L -c '%s %a' /proc/self/fd/4) || exit
[ "$1" != 0 ] || [ "$(head -c 1 <&4 | wc -c)" = 0 ] || no kernel
printf 'ok %s\\0%s\\0%s\\0' "$1" "$2" "$(readlink /proc/self/fd/4)"
while read -r offset count; do
  dd if=/proc/self/fd/4 bs=65536 iflag=skip_bytes,count_bytes skip="$offset" count="$count" status=none || exit
done`;

/**
 * Makes a file next to the target and appends the bytes after each line with their number. "commit" replaces the
 * target; without that, the file is removed, also when the agent is gone. It uses names in the directory that it has
 * entered, whatever its path leads to by then. Arguments: target, its directory, mode, the name of the new file, then
 * the directories that are new for every command.
 */
const WRITE = `${NO}[ -d "$2" ] || no ENOTDIR
cd -P -- "$2" || no EACCES
${REFUSE}target=$1 mode=$3 temporary=$4
device=$(stat -c %d .) || exit
shift 4
for own; do [ "$(stat -L -c %d -- "$own" 2>&-)" = "$device" ] && no private; done
umask 077
said=$( (set -C; : > "$temporary") 2>&1) || case $said in
  *ermission*) no EACCES;;
  *space*) no ENOSPC;;
  *) no EROFS;;
esac
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
exec 4>"$temporary" || exit
file=/proc/self/fd/4
printf 'ok\\0%s\\0' "$(pwd -P)"
while read -r verb count; do
  case $verb in
    write) head -c "$count" >&4 || exit;;
    restart) exec 4>"$temporary";;
    sha256)
      set -- $(sha256sum < "$file") && printf '%s\\0' "$1" || exit
      continue;;
    commit)
      if [ -e "$target" ]; then
        chmod --reference="$target" -- "$file" && chmod ug-s,-t -- "$file" || exit
        chown --reference="$target" -- "$file" 2>&-
      else chmod -- "$mode" "$file" || exit
      fi
      sync -- "$file" || exit
      [ ! -L "$temporary" ] && [ "$temporary" -ef "$file" ] || no changed
      mv -fT -- "$temporary" "$target" || exit;;
  esac
  printf 'ok\\0'
done`;

/**
 * Opens a file for reading as a command in the isolation of `start` would. Throws `InvalidArguments`,
 * `ProfileUnavailable`, `MachineRefused`.
 */
export async function openIsolatedSource(start: StartScript, path: string): Promise<Source> {
  const helper = start(shellScript(READ), [path]);
  const bytes = Number(await begun(helper, path));
  const mode = Number.parseInt(await answerOf(helper), 8) & 0o777;
  const real = await answerOf(helper);
  let before: Promise<unknown> = Promise.resolve();
  return {
    path: real,
    bytes,
    mode,
    read: (offset, length) => {
      const count = Math.max(0, Math.min(length, FRAME_BYTES, bytes - offset));
      const reading = before.then(async () => {
        const frame = new Uint8Array(count);
        if (count > 0) await send(helper, `${offset} ${count}\n`);
        await fill(helper, frame);
        return frame;
      });
      before = reading.catch(() => {});
      return reading;
    },
    close: () => helper.close(),
  };
}

/** The longest that a large file on a slow disk is read for its hash. */
const HASH_MS = 60_000;

/**
 * Opens a new file to replace `path`, as a command in the isolation of `start` would. Throws as `openIsolatedSource`.
 */
export async function openIsolatedSink(
  start: StartScript,
  isSandboxed: boolean,
  path: string,
  mode: number,
): Promise<Sink> {
  const own = isSandboxed ? OWN_DIRECTORIES : [];
  const args = [`./${basename(path)}`, dirname(path), mode.toString(8), `./${newName()}`, ...own];
  const helper = start(shellScript(WRITE), args);
  await begun(helper, path);
  const real = join(await answerOf(helper), basename(path));
  /** Of the last piece: the next one comes from the client meanwhile. */
  let answered: Promise<string> = Promise.resolve('');
  const say = async (line: string, ...bytes: readonly Uint8Array[]): Promise<void> => {
    await answered;
    await send(helper, `${line}\n`, ...bytes);
    answered = answerOf(helper);
    // The next write reports the error.
    answered.catch(() => {});
  };
  const order = async (line: string): Promise<string> => {
    await say(line);
    return await answered;
  };
  return {
    path: real,
    write: (bytes) => say(`write ${bytes.length}`, bytes),
    restart: async () => void (await order('restart')),
    sha256: async () => {
      await answered;
      await send(helper, 'sha256\n');
      return await answerOf(helper, HASH_MS);
    },
    commit: async () => {
      if ((await order('commit')) !== 'ok') throw changedOnItsWay();
    },
    close: () => helper.close(),
  };
}

/** Returns what the first answer of a helper has after `ok`. */
async function begun(helper: Helper, path: string): Promise<string> {
  try {
    const [verdict, word = ''] = (await answerOf(helper)).split(' ');
    if (verdict === 'no') throw pathFault(path, word);
    return word;
  } catch (error) {
    helper.close();
    throw error;
  }
}

/** A helper that does not answer within this time is given up. */
const ANSWER_MS = 30_000;

/** Sends a line, and bytes after it. Throws `MachineRefused` when the helper has ended. */
async function send(helper: Helper, ...pieces: readonly (string | Uint8Array)[]): Promise<void> {
  try {
    await inTime(helper.send(...pieces));
  } catch (error) {
    if (error instanceof MachineRefused) throw error;
    throw new MachineRefused('The helper of this transfer has ended. Repeat the transfer.', error);
  }
}

/** Returns the next answer. Throws `MachineRefused` if none comes in time. */
async function answerOf(helper: Helper, mostMs = ANSWER_MS): Promise<string> {
  return (await inTime(helper.answer(), mostMs)) ?? (await gone(helper));
}

/** Fills all of `frame`. Throws `MachineRefused` if there is less. */
async function fill(helper: Helper, frame: Uint8Array): Promise<void> {
  for (let at = 0; at < frame.length; ) {
    const piece = helper.take(frame.length - at);
    frame.set(piece, at);
    at += piece.length;
    if (piece.length === 0 && !(await inTime(helper.receive()))) await gone(helper);
  }
}

/** Throws why a helper has ended. */
async function gone(helper: Helper): Promise<never> {
  await inTime(helper.ended());
  const last = lastLine(helper.said);
  const said = last.includes('No space left') ? 'the disk is full' : last;
  throw new MachineRefused(`The file cannot be read or written: ${said || 'its helper has ended'}.`, said);
}

async function inTime<T>(work: Promise<T>, mostMs = ANSWER_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new MachineRefused('The disk did not answer in time. Repeat the transfer.', undefined)),
    mostMs,
  );
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
