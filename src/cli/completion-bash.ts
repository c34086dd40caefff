import { type CompletedCommand, type OptionValue, optionsWith, optionsWithWords } from './completion-tree.ts';

/** Completions for bash 4 and later. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.slice(1).map(({ path }) => path);
  return `# Completions of agent3 for bash; made by: agent3 completion bash
_agent3() {
  local cur=\${COMP_WORDS[COMP_CWORD]} at=agent3 words= options= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
      ${anyOf(paths)}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at \${COMP_WORDS[COMP_CWORD - 1]}" in
    ${optionsWithWords(commands)
      .map(({ at, words }) => `${quote(at)}) mapfile -t COMPREPLY < <(compgen -W ${list(words)} -- "$cur"); return ;;`)
      .join('\n    ')}
    ${values(commands, 'file', 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return')}
    ${values(commands, 'directory', 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return')}
    ${values(commands, 'unknown', 'return')}
  esac
  case "$at" in
    ${commands.map(branch).join('\n    ')}
  esac
  [[ $cur == -* || -z $words ]] && words=$options
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _agent3 agent3
`;
}

/** The branch for options that want such a value; a remark where there are none. */
function values(commands: readonly CompletedCommand[], value: OptionValue, action: string): string {
  const options = optionsWith(commands, value);
  return options.length === 0 ? `# no option wants a ${value}` : `${anyOf(options)}) ${action} ;;`;
}

function branch(command: CompletedCommand): string {
  const options = list(command.options.flatMap(({ names }) => names));
  return `${quote(command.path)}) words=${wordsOf(command)} options=${options} ;;`;
}

function wordsOf(command: CompletedCommand): string {
  if (command.inner.length > 0) return list(command.inner.map(({ name }) => name));
  if (command.arguments === 'sessions') return '$(timeout 3 "$1" sessions ls 2> /dev/null < /dev/null | cut -f 1)';
  return command.arguments === 'unknown' ? "''" : list(command.arguments);
}

function list(words: readonly string[]): string {
  return quote(words.join(' '));
}

function anyOf(words: readonly string[]): string {
  return words.map(quote).join(' | ');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
