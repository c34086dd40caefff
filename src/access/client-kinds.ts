/** The kinds of clients that a grant can be made for. */
export const CLIENT_KINDS = ['chatgpt', 'claude', 'claude-code', 'codex', 'cursor', 'vscode', 'other'] as const;
export type ClientKind = (typeof CLIENT_KINDS)[number];

/** The name of each kind of client. */
export const KIND_NAMES: Readonly<Record<ClientKind, string>> = {
  chatgpt: 'ChatGPT',
  claude: 'Claude',
  'claude-code': 'Claude Code',
  codex: 'Codex',
  cursor: 'Cursor',
  vscode: 'VS Code',
  other: 'another client',
};
