import { createInterface, type Interface } from 'node:readline/promises';
import { CLIENT_KINDS, type ClientKind, KIND_NAMES } from '../access/client-kinds.ts';
import type { GrantRecord } from '../access/grant.ts';
import type { GrantState } from '../connect/grant-state.ts';
import { parseDuration } from '../lib/duration.ts';
import { visibleLine } from '../lib/visible.ts';

/** Where to enter the URL in each client. The pages of chats change, so the steps name what to look for. */
const STEPS: Readonly<Record<ClientKind, (url: string) => readonly string[]>> = {
  chatgpt: (url) => [
    'On chatgpt.com in a browser: Settings, Security and login: switch Developer mode on.',
    'Open chatgpt.com/plugins, press +, Add custom MCP server.',
    `Server URL: ${url}`,
    'Authentication: OAuth. Then Create as a plugin, and Connect.',
  ],
  claude: (url) => [
    'On claude.ai in a browser: Settings, Connectors, Add custom connector.',
    `Remote MCP server URL: ${url}`,
    'Add, then Connect. Claude on the desktop and on the phone then has it too.',
  ],
  'claude-code': (url) => [
    `claude mcp add --transport http agent3 ${url}`,
    'In Claude Code: /mcp, agent3, Authenticate.',
  ],
  codex: (url) => [`codex mcp add agent3 --url ${url}`, 'codex mcp login agent3'],
  cursor: (url) => [
    'Settings, Tools & MCP, Add custom MCP:',
    `{"mcpServers":{"agent3":{"url":"${url}"}}}`,
    'Then press Connect.',
  ],
  vscode: (url) => ['Command palette: MCP: Add Server, HTTP.', `URL: ${url}`, 'Allow the sign-in that VS Code offers.'],
  other: (url) => [`Give your client this URL of an MCP server (Streamable HTTP, OAuth): ${url}`],
};

/** Clients on the web, which cannot reach an http URL: that is only allowed for this machine. */
const WEB_CHATS: readonly ClientKind[] = ['chatgpt', 'claude'];

/** Describes what to do, with the one-time code. */
export function describeSteps({ name, profile, grant }: GrantRecord, code: string, url: string): string {
  const client = grant.client as ClientKind;
  const steps = STEPS[client](url).map((step, at) => `  ${at + 1}. ${step}`);
  const unreached =
    WEB_CHATS.includes(client) && url.startsWith('http:')
      ? `\n${KIND_NAMES[client]} runs on the web and cannot reach ${url}: set AGENT3_PUBLIC_URL to an https URL of this server.\n`
      : '';
  const power = profile === 'full' ? '\nThe profile full allows every command, as the user of the agent.\n' : '';
  return `${name}: ${KIND_NAMES[client]}, profile ${profile}
${power}${unreached}
${steps.join('\n')}
  ${steps.length + 1}. On the page that opens, check the name in large letters and enter this code, within 10 minutes:

      ${code.slice(0, 5)}-${code.slice(5)}

Waiting for ${KIND_NAMES[client]}. You then decide whether to keep the connection. Ctrl-C cancels the code.`;
}

/** Describes the client that has connected. */
export function describeConnected({ client_name, redirect_uri, address }: GrantState): string {
  const { host } = new URL(redirect_uri);
  return `\nconnected: ${visibleLine(client_name)}, redirect ${visibleLine(host)}, from ${visibleLine(address)}`;
}

interface Answers {
  readonly name?: string | undefined;
  readonly client?: ClientKind | undefined;
  readonly profile?: string | undefined;
  readonly expires?: number | 'never' | undefined;
}

/** Returns why an answer is not valid; undefined when it is. */
type Check = (answer: string) => string | undefined;

interface Checks {
  readonly nameFault: Check;
  readonly profileFault: Check;
  /** The name of the grant when none is given. */
  readonly usualName: (client: ClientKind) => string;
}

/** Asks for what is not on the command line. Repeats each question until its answer is valid. */
export async function askFor(given: Answers, checks: Checks): Promise<Answers> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: false });
  try {
    const client = given.client ?? (await askClient(lines));
    const name = given.name ?? (await askName(lines, checks.usualName(client), checks.nameFault));
    const profile = given.profile ?? (await ask(lines, PROFILE_QUESTION, 'readonly', checks.profileFault));
    const expires = given.expires ?? (await askEnd(lines));
    return { client, name, profile, expires };
  } finally {
    lines.close();
  }
}

function askName(lines: Interface, usual: string, fault: Check): Promise<string> {
  return ask(lines, `Name in agent3 token list [${usual}]: `, usual, fault);
}

async function ask(lines: Interface, question: string, usual: string, faultOf: Check): Promise<string> {
  for (;;) {
    const answer = (await lines.question(question)).trim() || usual;
    const fault = faultOf(answer);
    if (fault === undefined) return answer;
    process.stdout.write(`${visibleLine(fault)}\n`);
  }
}

const PROFILE_QUESTION = `What may it do? Give a profile: readonly (look, but change nothing), full (every command, as
the user of the agent), or another of agent3 profile list [readonly]: `;

async function askClient(lines: Interface): Promise<ClientKind> {
  const list = CLIENT_KINDS.map((kind, at) => `  ${at + 1}  ${KIND_NAMES[kind]}`).join('\n');
  for (;;) {
    const answer = (await lines.question(`What do you connect?\n${list}\nNumber or name [1]: `)).trim().toLowerCase();
    const kind = CLIENT_KINDS.find(
      (one, at) => answer === one || answer === String(at + 1) || answer === KIND_NAMES[one].toLowerCase(),
    );
    if (answer === '') return 'chatgpt';
    if (kind !== undefined) return kind;
    process.stdout.write(`Enter a number from 1 to ${CLIENT_KINDS.length}, or a name of the list.\n`);
  }
}

async function askEnd(lines: Interface): Promise<number | 'never'> {
  for (;;) {
    const answer = (await lines.question('When does it end? 12h, 30d, 8w, or never [never]: ')).trim();
    if (answer === '' || answer === 'never') return 'never';
    const ms = parseDuration(answer);
    if (ms !== undefined) return ms;
    process.stdout.write('A time is a number followed by s, m, h, d or w, such as 30d.\n');
  }
}
