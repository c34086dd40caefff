const words = process.argv.slice(2);

// The owner's freeze waits for this one: without the table of subcommands it begins a fifth sooner.
if (words.join(' ') === 'console obey') await (await import('./cli/console-obey.ts')).obeyConsole(undefined);
else await (await import('./cli/program.ts')).runProgram(words);

export {};
