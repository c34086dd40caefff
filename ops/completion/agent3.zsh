#compdef agent3
# Completions of agent3 for zsh, made by: agent3 completion zsh
_agent3() {
  local line
  local -a lines offers
  # An agent that does not answer holds up the line for 3 seconds at most.
  lines=("${(@f)$(timeout 3 agent3 __complete -- "${(@)words[2,CURRENT-1]}" "$PREFIX" 2> /dev/null < /dev/null)}")
  case $lines[1] in
    (files) _files ;;
    (directories) _files -/ ;;
    (words)
      for line in "${(@)lines[2,-1]}"; do
        # A colon divides a word and its description.
        offers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
      done
      _describe agent3 offers ;;
  esac
}
if [[ $funcstack[1] == _agent3 ]]; then _agent3 "$@"; else compdef _agent3 agent3; fi
