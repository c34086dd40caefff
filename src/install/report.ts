import type { Installed } from './install.ts';
import { PATHS } from './layout.ts';

const TITLES: Readonly<Record<Installed['kind'], string>> = {
  installed: 'Agent3 is installed and answers.',
  upgraded: 'Agent3 is up to date and answers.',
  unchanged: 'Nothing to change: Agent3 is installed and answers.',
  planned: 'Nothing was changed: this is what would be done.',
  staged: 'Agent3 is staged; it starts when the image boots.',
};

/** What the owner reads after an installation: what happened, what to enter where, and where everything is. */
export function reportOf({ kind, url, token, started, notes, manifest }: Installed): string {
  const title =
    started || kind === 'planned' || kind === 'staged'
      ? TITLES[kind]
      : 'Agent3 is installed; start it with: systemctl start agent3';
  const lines = [title, '', ...notes.map((note) => `Note: ${note}`), ...(notes.length > 0 ? [''] : [])];
  if (kind === 'planned') return lines.join('\n');
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
  if (!url.startsWith('https://')) {
    lines.push('', 'ChatGPT needs HTTPS and a public name:  agent3 install --domain NAME');
  }
  return [...lines, '', ...HINTS].join('\n');
}

const HINTS = [
  '  systemctl status agent3                   how it is',
  '  systemctl restart agent3                  after a change of the settings',
  `  tail -n 20 ${PATHS.logs}/watchdog.log     the watchdog's last checks`,
  `  ${PATHS.settings}               settings`,
  `  ${PATHS.logs}/                          logs`,
  `  ${PATHS.sessions}                 sessions`,
];
