# shellcheck shell=bash disable=SC2154,SC2064
# What a shell with a context runs before its command (see shell-script.ts). $__agent3_in has this text, the items of the
# context and the command; $__agent3_traps is 1 where the command may set a trap, and of more than $__agent3_most names it
# writes `!` instead. 61 and 62 are one file, for the state.

__agent3_free() {
  __agent3_n=$1
  while [[ -e /proc/self/fd/$__agent3_n ]]; do ((++__agent3_n)); done
}
# Bash moves both descriptors while the command runs, to the first that are free from 10 on, and back where the command
# does not leave from within a function: whichever pair is one file is the one.
__agent3_free 10
__agent3_c=$__agent3_n
__agent3_free "$((__agent3_c + 1))"
__agent3_d=$__agent3_n
__agent3_state() {
  if [[ /proc/self/fd/61 -ef /proc/self/fd/62 ]]; then
    __agent3_n=61
  elif [[ -f /proc/self/fd/$__agent3_c && /proc/self/fd/$__agent3_c -ef /proc/self/fd/$__agent3_d ]]; then
    __agent3_n=$__agent3_c
  else
    return 0
  fi
  __agent3_write "$1" >&"$__agent3_n"
}

# From within a function ($1 is 1), `unset` uncovers what its local variables hide. Where there is no function, one process
# is started, for the names: each costs more than all the rest.
__agent3_write() {
  builtin printf '[\0d%s\0o' "$PWD"
  builtin set +o
  builtin shopt -p
  builtin printf '\0'
  builtin set +euxo posix
  builtin set -B
  # Bash takes quadratic time for a list of all names, so it makes one. They need no quotes.
  builtin eval "__agent3_v=($(builtin compgen -v))"
  if (((__agent3_k = ${#__agent3_v[@]} + ${#BASH_ALIASES[@]}) > __agent3_most)); then
    builtin printf '!\0]\0'
    return 0
  fi
  for __agent3_n in "${__agent3_v[@]}"; do
    case $__agent3_n in __agent3*) continue ;; esac
    if (($1)); then
      for __agent3_i in 1 2 3 4 5; do
        (builtin unset -v "$__agent3_n" && builtin declare -p "$__agent3_n") > /dev/null 2>&1 || break
        builtin unset -v "$__agent3_n"
      done
    fi
    builtin printf v
    builtin declare -p "$__agent3_n"
    builtin printf '\0'
  done
  if builtin compgen -A function -X '__agent3*' > /dev/null; then
    builtin declare -F | while IFS= builtin read -r __agent3_i; do
      __agent3_n=${__agent3_i##* }
      case $__agent3_n in __agent3*) continue ;; esac
      if ((++__agent3_k > __agent3_most)); then
        builtin printf '!\0'
        break
      fi
      builtin printf 'x%s\0f' "$__agent3_i"
      builtin declare -f "$__agent3_n"
      builtin printf '\0'
    done
  fi
  for __agent3_n in "${!BASH_ALIASES[@]}"; do
    builtin printf a
    builtin alias "$__agent3_n"
    builtin printf '\0'
  done
  builtin printf ']\0'
}

# $1 is 1 where a trap of the command's own follows, which is to find its shell as it was.
__agent3_end() {
  __agent3_r=$?
  ((BASHPID == $$)) || return "$__agent3_r"
  if (($1)); then
    (__agent3_state "$((${#FUNCNAME[@]} > 1))")
  else
    __agent3_state "$((${#FUNCNAME[@]} > 1))"
  fi
  builtin set +e
  return "$__agent3_r"
}

# A trap of the command's own does not take the place of what writes the state: it runs after that.
if ((__agent3_traps)); then
  trap() {
    builtin trap "$@" || return
    ((BASHPID == $$)) || return 0
    builtin set -- "$(builtin trap -p EXIT)"
    case $1 in *__agent3_end*) return ;; esac
    eval "builtin set -- $1"
    builtin trap -- "{ __agent3_end 1; } 2> /dev/null
$3" EXIT
  }
fi

# The state of a fresh shell. Options that the environment has set are not to be lost.
{ case $- in hBc) __agent3_state 0 ;; *) (__agent3_state 0) ;; esac; } 2> /dev/null
__agent3_cmd=${__agent3_in[-1]}
builtin trap '{ __agent3_end 0; } 2> /dev/null' EXIT
for __agent3_n in "${__agent3_in[@]:1:${#__agent3_in[@]}-2}"; do builtin eval "$__agent3_n"; done 2> /dev/null
builtin unset -v __agent3_in __agent3_n __agent3_v __agent3_i __agent3_traps
