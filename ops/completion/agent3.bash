# Completions of agent3 for bash, made by: agent3 completion bash
# shellcheck shell=bash
_agent3() {
  local cur=${COMP_WORDS[COMP_CWORD]} line
  local -a lines
  # An agent that does not answer holds up the line for 3 seconds at most.
  mapfile -t lines < <(timeout 3 "$1" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null < /dev/null)
  COMPREPLY=()
  case ${lines[0]} in
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    words) for line in "${lines[@]:1}"; do COMPREPLY+=("${line%%$'\t'*}"); done ;;
  esac
}
complete -F _agent3 agent3
