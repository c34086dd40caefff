import type { Installed } from './install.ts';
import { PATHS } from './layout.ts';
import { ceilingsFor, memoryWords } from './machine.ts';

const TITLES: Readonly<Record<Installed['kind'], string>> = {
  installed: 'Agent3 is installed and answers.',
  upgraded: 'The installation is changed, and Agent3 answers.',
  unchanged: 'Nothing to change: Agent3 is installed and answers.',
  planned: 'Nothing was changed: this is what would be done.',
  nothing: 'Nothing to change: this is how it is.',
  staged: 'Agent3 is staged; it starts when the image boots.',
};

/** What the owner reads after an installation: what happened, what to enter where, and where everything is. */
export function reportOf({ kind, url, token, started, notes, manifest, before }: Installed): string {
  const title =
    started || kind === 'planned' || kind === 'nothing' || kind === 'staged'
      ? titleOf(kind, before, manifest.version)
      : 'Agent3 is installed; start it with: systemctl start agent3';
  const lines = [title, '', ...notes.map((note) => `Note: ${note}`), ...(notes.length > 0 ? [''] : [])];
  if (kind === 'planned' || kind === 'nothing') return lines.join('\n');
  if (manifest.user === 'root') {
    lines.push('WARNING: the agent runs as root. Whoever has the token can do anything on this machine.', '');
  }
  lines.push(
    `  URL       ${url}`,
    '  Header    X-Auth-Token',
    token === undefined
      ? `  Token     in ${PATHS.settings}`
      : `  Token     ${token}\n            (shown this once; it is kept in ${PATHS.settings})`,
  );
  if (kind === 'installed') lines.push(`  Commands  ${memoryWords(ceilingsFor().commandsMemoryMib * 1_048_576)}`);
  if (!url.startsWith('https://')) {
    lines.push('', 'ChatGPT needs HTTPS and a public name:  agent3 install --domain NAME');
  }
  if (kind === 'staged') lines.push('', ...STAGED);
  if (kind === 'installed') lines.push('', ...tryIt(url), '', ...HINTS);
  return lines.join('\n');
}

function titleOf(kind: Installed['kind'], before: string | undefined, now: string): string {
  if (kind !== 'upgraded' || before === undefined || before === now) return TITLES[kind];
  return `Agent3 ${now} is installed in the place of ${before}, and answers.`;
}

/** A first call that works as it stands, without the token on the screen. */
function tryIt(url: string): string[] {
  return [
    'Try it, as root:',
    `  . ${PATHS.settings}`,
    `  curl -s ${url} -H "X-Auth-Token: $AGENT3_API_TOKEN" -d '{"op":"shell","args":{"cmd":"uptime"}}'`,
  ];
}

/** What an image takes from the machine that it is made on. */
const STAGED = [
  'Note: the token above is part of the image: whoever has the image has it. agent3 install on the machine keeps it;',
  '      agent3 token new | agent3 install --token - there makes a new one.',
  'Note: the ceilings are those of this machine; agent3 install on the machine sets its own.',
];

const HINTS = rows([
  ['agent3 doctor', 'is everything well?'],
  ['systemctl status agent3', 'how it is'],
  ['systemctl restart agent3', 'after a change of the settings'],
  ['journalctl -u agent3 -n 20', 'why it does not start'],
  [`tail -n 20 ${PATHS.logs}/watchdog.log`, "the watchdog's checks, every 5 minutes"],
  [PATHS.settings, 'settings'],
  [`${PATHS.logs}/`, 'logs'],
  [PATHS.sessions, 'sessions'],
]);

function rows(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...pairs.map(([left]) => left.length));
  return pairs.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
