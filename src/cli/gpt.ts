import { hostname } from 'node:os';
import type { Command } from 'commander';
import { processEnvironment } from '../settings/config.ts';
import { EXIT_USAGE, fail } from './exit.ts';
import { gptKit, kitText } from './gpt-kit.ts';

export function addGpt(program: Command): void {
  program
    .command('gpt')
    .description('Print what to paste into the GPT builder of ChatGPT')
    .option('--url <url>', 'URL that ChatGPT reaches the agent by (default: AGENT3_PUBLIC_URL)')
    .option('--json', 'the same as JSON')
    .addHelpText('after', '\nExample: agent3 gpt --url https://agent.example.org')
    .action(({ url, json }: { readonly url?: string; readonly json?: true }) => {
      const kit = gptKit(publicUrl(url), hostname());
      process.stdout.write(json ? `${JSON.stringify(kit, null, 2)}\n` : kitText(kit));
    });
}

/** ChatGPT calls only over HTTPS, under a public name. */
function publicUrl(given: string | undefined): string {
  const url = (given ?? processEnvironment()['AGENT3_PUBLIC_URL'] ?? '').replace(/\/+$/, '');
  if (/^https:\/\/[^\s/?#]+$/.test(url)) return url;
  if (url !== '')
    fail(
      EXIT_USAGE,
      `ChatGPT needs a URL of the form https://agent.example.org, not ${JSON.stringify(url.slice(0, 100))}`,
    );
  fail(EXIT_USAGE, 'give the URL that ChatGPT reaches the agent by: agent3 gpt --url https://agent.example.org');
}
