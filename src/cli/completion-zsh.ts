import { type CompletedCommand, type OptionValue, optionsWith, optionsWithWords } from './completion-tree.ts';

/** Completions for zsh, to be read by it or to lie in its fpath as `_agent3`. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.slice(1).map(({ path }) => path);
  return `#compdef agent3
# Completions of agent3 for zsh; made by: agent3 completion zsh
_agent3() {
  local at=agent3 i
  local -a inner options arguments
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
      (${anyOf(paths)}) at="$at \${words[i]}" ;;
    esac
  done
  case "$at \${words[CURRENT - 1]}" in
    ${optionsWithWords(commands)
      .map(({ at, words }) => `(${quote(at)}) compadd -- ${words.map(quote).join(' ')}; return ;;`)
      .join('\n    ')}
    ${values(commands, 'file', '_files; return')}
    ${values(commands, 'directory', '_files -/; return')}
    ${values(commands, 'unknown', '_message value; return')}
  esac
  case "$at" in
    ${commands.map(branch).join('\n    ')}
  esac
  if [[ $PREFIX == -* || $#inner -eq 0 && $#arguments -eq 0 ]]; then
    _describe -o option options
  elif (( $#inner )); then
    _describe command inner
  else
    compadd -a arguments
  fi
}
if [[ $funcstack[1] == _agent3 ]]; then _agent3 "$@"; else compdef _agent3 agent3; fi
`;
}

/** The branch for options that want such a value; a remark where there are none. */
function values(commands: readonly CompletedCommand[], value: OptionValue, action: string): string {
  const options = optionsWith(commands, value);
  return options.length === 0 ? `# no option wants a ${value}` : `(${anyOf(options)}) ${action} ;;`;
}

function branch(command: CompletedCommand): string {
  const options = command.options.flatMap(({ names, description }) =>
    names.map((name) => described(name, description)),
  );
  const inner = command.inner.map(({ name, description }) => described(name, description));
  return `(${quote(command.path)})
      inner=(${inner.join(' ')})
      options=(${options.join(' ')})
      arguments=(${argumentsOf(command)}) ;;`;
}

function argumentsOf({ arguments: words }: CompletedCommand): string {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is zsh that expands it.
  if (words === 'sessions') return '"${(@f)$(timeout 3 agent3 sessions ls 2> /dev/null < /dev/null | cut -f 1)}"';
  return words === 'unknown' ? '' : words.map(quote).join(' ');
}

/** A word and what it is for: a colon divides them. */
function described(name: string, description: string): string {
  return quote(`${name.replaceAll(':', '\\:')}:${description}`);
}

function anyOf(words: readonly string[]): string {
  return words.map(quote).join('|');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
