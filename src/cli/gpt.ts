import { hostname } from 'node:os';
import type { Command } from '@commander-js/extra-typings';
import { OPERATIONS } from '../access/profile.ts';
import { instructionsFor } from '../operations/instructions.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_USAGE, fail } from './exit.ts';

/** `agent3 gpt`. */
export function defineGpt(command: Command): void {
  command
    .option('--url <url>', 'URL at which ChatGPT reaches the agent (default: AGENT3_PUBLIC_URL)')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample: agent3 gpt --url https://agent.example.org')
    .action(({ url, json }) => {
      const kit = gptKit(publicUrl(url), hostname());
      process.stdout.write(json === true ? `${JSON.stringify(kit, null, 2)}\n` : kitText(kit));
    });
}

/** Requires an HTTPS URL with a public name, the only kind that ChatGPT calls. */
function publicUrl(given: string | undefined): string {
  const url = (given ?? processEnvironment()['AGENT3_PUBLIC_URL'] ?? '').replace(/\/+$/, '');
  if (/^https:\/\/[^\s/?#@]+$/.test(url) && URL.canParse(url)) return url;
  if (url !== '')
    fail(
      EXIT_USAGE,
      `ChatGPT needs a URL of the form https://agent.example.org, not ${JSON.stringify(url.slice(0, 100))}`,
    );
  fail(EXIT_USAGE, 'give the URL at which ChatGPT reaches the agent: agent3 gpt --url https://agent.example.org');
}

/** As OpenAI announced by November 2026. */
const RETIREMENT =
  'OpenAI retires GPTs with Actions: Enterprise workspaces on 11 December 2026, and other plans are expected to follow. Connect ChatGPT instead: sudo agent3 connect';

/** Returns what the owner pastes into the GPT builder, for an agent at `url` (without a slash at its end). */
function gptKit(url: string, host: string) {
  return {
    name: `Server ${host}`,
    description: 'Runs commands on a Linux server.',
    retirement: RETIREMENT,
    /** For the model; the builder takes 8,000 characters. */
    instructions: instructionsFor(OPERATIONS),
    schemaUrl: `${url}/openapi.json`,
    authentication: [
      ['Authentication type', 'API Key'],
      ['API Key', 'a token for it: agent3 token create gpt --profile …'],
      ['Auth Type', 'Custom'],
      ['Custom Header Name', 'X-Auth-Token'],
    ],
  } as const;
}

function kitText(kit: ReturnType<typeof gptKit>): string {
  const { retirement, name, description, instructions, schemaUrl, authentication } = kit;
  const width = Math.max(...authentication.map(([field]) => field.length));
  return `${retirement}

In ChatGPT: Explore GPTs, Create, Configure.

Name
  ${name}

Description
  ${description}

Instructions
---
${instructions}
---

Actions: Create new action, Import from URL
  ${schemaUrl}

Authentication (the wheel)
${authentication.map(([field, choice]) => `  ${field.padEnd(width)}  ${choice}`).join('\n')}

Save it for "Only me".
`;
}
