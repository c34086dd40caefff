import type { Command } from 'commander';

/** `agent3 profile`: what the bearers of tokens may do. */
export function addProfile(program: Command): void {
  const profile = program.command('profile').description('The profiles of this server: what a token may do');
  const directory = [
    '--dir <path>',
    'directory of the profiles (default: AGENT3_PROFILES_DIR, or that of the installed service)',
  ] as const;
  profile
    .command('list')
    .description('The profiles there are')
    .option('--json', 'as JSON, with everything that each of them says')
    .option('--hidden', 'the paths that the built-in profiles hide')
    .option(...directory)
    .action(async (options) => (await import('./profile-action.ts')).listProfiles(options));
  profile
    .command('try <profile> <cmd>')
    .description('What the rules of a profile would do with a command, and why; nothing is run')
    .option('--cwd <path>', 'directory that it would run in, an absolute path (default: that of the workspace, or /)')
    .option('--shell <path>', 'shell that it would run in', '/bin/bash')
    .option('--json', 'as JSON')
    .option(...directory)
    .addHelpText(
      'after',
      '\nExit codes: 0 allow, 3 confirm, 4 deny; 1 and 2 for faults in profiles and in what is asked.',
    )
    .addHelpText('after', "\nExample:\n  agent3 profile try deploy 'git pull && systemctl restart app'")
    .action(async (name: string, cmd: string, options) =>
      (await import('./profile-action.ts')).tryProfile(name, cmd, options),
    );
  profile
    .command('check [file...]')
    .description('Look for faults in the files of profiles, and whether their sandboxes can be had')
    .option(...directory)
    .addHelpText('after', '\nExample:\n  agent3 profile check ./deploy.toml')
    .action(async (files: string[], options) => (await import('./profile-action.ts')).checkProfiles(files, options));
}
