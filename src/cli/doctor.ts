import type { Command } from 'commander';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Check the installation of this machine, and say what to do where something is wrong')
    .option('--json', 'the findings as JSON')
    .addHelpText(
      'after',
      "\nExit code: 0 all is well, 1 something is wrong. Run it as root: the settings are root's alone.",
    )
    .action(async ({ json }: { readonly json?: true }) => {
      const { runDoctor } = await import('./doctor-action.ts');
      await runDoctor(json === true);
    });
}
