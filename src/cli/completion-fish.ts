import type { CompletedCommand, CompletedOption } from './completion-tree.ts';

/** Completions for fish 3 and later. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.slice(1).map(({ path }) => path);
  return `# Completions of agent3 for fish; made by: agent3 completion fish
function __agent3_at
    set -l at agent3
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case ${paths.map(quote).join(' ')}
                set at "$at $word"
        end
    end
    test "$at" = "$argv"
end
complete -c agent3 -f
${commands.flatMap(linesOf).join('\n')}
`;
}

function linesOf(command: CompletedCommand): string[] {
  const start = `complete -c agent3 -n ${quote(`__agent3_at ${command.path}`)}`;
  return [
    ...command.inner.map(({ name, description }) => `${start} -a ${name} -d ${quote(description)}`),
    ...command.options.map((option) => `${start} ${optionWords(option)} -d ${quote(option.description)}`),
    ...argumentLines(command, start),
  ];
}

function optionWords({ names, value }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ');
  switch (value) {
    case 'none':
      return flags;
    case 'file':
      return `${flags} -r -F`;
    case 'directory':
      return `${flags} -x -a '(__fish_complete_directories)'`;
    case 'unknown':
      return `${flags} -x`;
    default:
      return `${flags} -x -a ${quote(value.join(' '))}`;
  }
}

function argumentLines({ arguments: words }: CompletedCommand, start: string): string[] {
  if (words === 'unknown' || words.length === 0) return [];
  if (words === 'sessions') {
    return [`${start} -a '(timeout 3 agent3 sessions ls 2> /dev/null < /dev/null | string split -f 1 \\t)'`];
  }
  return [`${start} -a ${quote(words.join(' '))}`];
}

/** In fish's single quotes, a backslash protects itself and the quote. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
