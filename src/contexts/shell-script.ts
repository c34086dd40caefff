import type { ContextItem } from './shell-state.ts';

/** Descriptors of a shell with a context, by their numbers there. */
export interface ContextDescriptors {
  /** What it reads: `contextInput`. */
  readonly input: number;
  /** Where it writes its state: one file, open twice, so that the shell knows it again after it was moved. */
  readonly output: readonly [number, number];
}

/** Numbers that hardly a script takes for descriptors of its own. */
const [FIRST, SECOND] = [161, 162];

/**
 * The command line of a shell that has a context: it reads the descriptor, restores the context, and runs the command
 * with both outputs closed, so that no program inherits them. It is one line: messages name the lines of the command.
 */
export function contextCommand({ input, output: [one, other] }: ContextDescriptors): string {
  return [
    `builtin mapfile -d '' -t -u ${input} __agent3_in`,
    `exec ${FIRST}>&${one} ${SECOND}>&${other} ${input}<&- ${one}>&- ${other}>&-`,
    `eval "\${__agent3_in[0]}"`,
    `{ eval "$__agent3_cmd"; } ${FIRST}>&- ${SECOND}>&-`,
  ].join('; ');
}

/** What the shell reads: its functions, the items of the context, the command, each behind a NUL. */
export function contextInput(items: readonly ContextItem[], cmd: string, given: ReadonlySet<string>): Buffer {
  const shown = items.filter(({ kind, name }) => kind !== 'variable' || !given.has(name));
  const tracing = shown.filter(isTracing).map(({ text }) => `${text};`);
  const texts = shown.filter((item) => !isTracing(item)).map(restoring);
  const setsTrap = /\btrap\b/.test(cmd) || items.some(({ kind, text }) => kind === 'function' && /\btrap\b/.test(text));
  const helpers = `${STATE}${setsTrap ? TRAP : ''}${RESTORE}`;
  return Buffer.concat([
    Buffer.from([helpers, ...texts, ''].join('\0'), 'latin1'),
    Buffer.from(tracing.join('')),
    Buffer.from(cmd),
  ]);
}

/** They would show what the agent itself does. */
const isTracing = ({ kind, name }: ContextItem): boolean =>
  kind === 'option' && (name === 'xtrace' || name === 'verbose' || name === 'noexec');

/** A function may have patterns that are only understood with this option. */
const restoring = ({ kind, text }: ContextItem): string =>
  kind === 'function' ? `shopt -s extglob\n${text}\nshopt -u extglob` : text;

/**
 * Writes the state of the shell to its file. Bash moves the two descriptors while the command runs, to the first that are
 * free from 10 on, and back where it does not leave from within a function: whichever pair is one file is the one.
 * From within a function ($1 is 1), `unset` uncovers what its local variables hide. It starts no process where it can.
 */
const STATE =
  String.raw`__agent3_free() { __agent3_n=$1; while [[ -e /proc/self/fd/$__agent3_n ]]; do ((++__agent3_n)); done; }
__agent3_free 10; __agent3_c=$__agent3_n; __agent3_free "$((__agent3_c + 1))"; __agent3_d=$__agent3_n
__agent3_state() {
  if [[ /proc/self/fd/${FIRST} -ef /proc/self/fd/${SECOND} ]]; then __agent3_n=${FIRST}
  elif [[ -f /proc/self/fd/$__agent3_c && /proc/self/fd/$__agent3_c -ef /proc/self/fd/$__agent3_d ]]; then __agent3_n=$__agent3_c
  else return 0; fi
  __agent3_write "$1" >&"$__agent3_n"
}
__agent3_write() {
  builtin printf '[\0d%s\0o' "$PWD"
  builtin set +o; builtin shopt -p; builtin printf '\0'
  builtin set +euxo posix; builtin set -B
  for __agent3_n in {A..Z} {a..z} _; do eval '__agent3_v+=("\${!'"$__agent3_n"'@}")'; done
  for __agent3_n in "\${__agent3_v[@]}"; do
    case $__agent3_n in __agent3*) continue;; esac
    if (($1)); then for __agent3_i in 1 2 3 4 5; do
      (builtin unset -v "$__agent3_n"; builtin declare -p "$__agent3_n") > /dev/null 2>&1 || break
      builtin unset -v "$__agent3_n" || break; done; fi
    builtin printf v; builtin declare -p "$__agent3_n"; builtin printf '\0'
  done
  if builtin compgen -A function -X '__agent3*' > /dev/null; then
    builtin declare -F | while IFS= builtin read -r __agent3_i; do
      __agent3_n=\${__agent3_i##* }
      case $__agent3_n in __agent3*) continue;; esac
      builtin printf 'x%s\0f' "$__agent3_i"; builtin declare -f "$__agent3_n"; builtin printf '\0'
    done
  fi
  for __agent3_n in "\${!BASH_ALIASES[@]}"; do builtin printf a; builtin alias "$__agent3_n"; builtin printf '\0'; done
  builtin printf ']\0'
}
__agent3_end() {
  __agent3_r=$?
  ((BASHPID == $$)) || return "$__agent3_r"
  if (($1)); then (__agent3_state "$((\${#FUNCNAME[@]} > 1))"); else __agent3_state "$((\${#FUNCNAME[@]} > 1))"; fi
  builtin set +e
  return "$__agent3_r"
}
`.replaceAll('\\$', '$');

/** Keeps a trap of the command's own from taking the place of what writes the state: it runs after that. */
const TRAP = String.raw`trap() {
  builtin trap "$@" || return
  ((BASHPID == $$)) || return 0
  builtin set -- "$(builtin trap -p EXIT)"
  case $1 in *__agent3_end*) return;; esac
  eval "builtin set -- $1"
  builtin trap -- "{ __agent3_end 1; } 2> /dev/null
$3" EXIT
}
`;

/** Options that the environment has set are not to be lost. */
const RESTORE = String.raw`{ case $- in hBc) __agent3_state 0;; *) (__agent3_state 0);; esac; } 2> /dev/null
__agent3_cmd=\${__agent3_in[-1]}
builtin trap '{ __agent3_end 0; } 2> /dev/null' EXIT
for __agent3_n in "\${__agent3_in[@]:1:\${#__agent3_in[@]}-2}"; do builtin eval "$__agent3_n"; done 2> /dev/null
builtin unset -v __agent3_in __agent3_n __agent3_v __agent3_i
`.replaceAll('\\$', '$');
