import { basename, dirname, join } from 'node:path';
import type { Confinement } from '../commands/confinement.ts';
import { MachineRefused } from '../lib/errors.ts';
import { OWN_DIRECTORIES } from '../sandbox/hidden.ts';
import { changedOnItsWay, FRAME_BYTES, pathFault, type Sink, type Source } from './carrier.ts';
import { Helper, type HelperDeps } from './helper.ts';
import { newName } from './own-files.ts';

/** Refuses by a word that `pathFault` knows. */
const NO = `no() { printf 'no %s\\0' "$1"; exit 0; }
`;
/** Refuses what can be no file at the path that is the first argument. */
const REFUSE = `[ -L "$1" ] && no ELOOP
[ -d "$1" ] && no EISDIR
[ ! -e "$1" ] || [ -f "$1" ] || no special
`;

/** Opens the file once, and gives pieces of it: each line that it reads is an offset and a number of bytes. */
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
 * Makes a file beside the target and appends what comes behind each line with a number of bytes. "commit" puts it in its
 * place; without that it is removed, also when the agent is gone. All is done by names in the directory that it has
 * entered, whatever its path leads to by then. Arguments: target, its directory, mode, the name of the file that is made,
 * then the directories that are new for every command.
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

/** Opens a file as a command in these walls would, to read it. Throws `InvalidArguments`, `ProfileUnavailable`, `MachineRefused`. */
export async function openConfinedSource(deps: HelperDeps, confinement: Confinement, path: string): Promise<Source> {
  const helper = new Helper(deps, confinement, READ, [path]);
  const bytes = Number(await begun(helper, path));
  const mode = Number.parseInt(await helper.answer(), 8) & 0o777;
  const real = await helper.answer();
  let before: Promise<unknown> = Promise.resolve();
  return {
    path: real,
    bytes,
    mode,
    read: (offset, length) => {
      const count = Math.max(0, Math.min(length, FRAME_BYTES, bytes - offset));
      const reading = before.then(async () => {
        const frame = new Uint8Array(count);
        if (count > 0) await helper.send(`${offset} ${count}`);
        await helper.fill(frame);
        return frame;
      });
      before = reading.catch(() => {});
      return reading;
    },
    close: () => helper.close(),
  };
}

/** Longest that a large file on a slow disk is read for its hash. */
const HASH_MS = 60_000;

/** Opens a file beside `path` as a command in these walls would, to take its place. Throws as `openConfinedSource`. */
export async function openConfinedSink(
  deps: HelperDeps,
  confinement: Confinement,
  path: string,
  mode: number,
): Promise<Sink> {
  const { sandbox } = confinement;
  const own = sandbox === undefined ? [] : OWN_DIRECTORIES;
  const args = [`./${basename(path)}`, dirname(path), mode.toString(8), `./${newName()}`, ...own];
  const helper = new Helper(deps, confinement, WRITE, args);
  await begun(helper, path);
  const real = join(await helper.answer(), basename(path));
  /** Of the piece before: the next one comes from the client meanwhile. */
  let answered: Promise<string> = Promise.resolve('');
  const send = async (line: string, bytes?: Uint8Array): Promise<void> => {
    await answered;
    await helper.send(line, bytes);
    answered = helper.answer();
    // Who sends the next one hears of it.
    answered.catch(() => {});
  };
  const order = async (line: string): Promise<string> => {
    await send(line);
    return await answered;
  };
  return {
    path: real,
    write: (bytes) => send(`write ${bytes.length}`, bytes),
    restart: async () => void (await order('restart')),
    sha256: async () => {
      await answered;
      await helper.send('sha256');
      return await helper.answer(HASH_MS);
    },
    commit: async () => {
      if ((await order('commit')) !== 'ok') throw changedOnItsWay();
    },
    close: () => helper.close(),
  };
}

/** What the first answer of a helper says behind `ok`. */
async function begun(helper: Helper, path: string): Promise<string> {
  try {
    const [verdict, word = ''] = (await helper.answer()).split(' ');
    if (verdict === 'no') throw pathFault(path, word);
    return word;
  } catch (error) {
    helper.close();
    if (error instanceof MachineRefused && error.cause !== undefined) throw await helper.unavailable();
    throw error;
  }
}
