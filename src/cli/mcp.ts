import type { Command } from '@commander-js/extra-typings';

/** `agent3 mcp`. */
export function defineMcp(command: Command): void {
  command
    .addHelpText(
      'after',
      `
No token is needed. Settings come from the environment, as for serve. Sessions are kept in
~/.local/state/agent3 unless AGENT3_SESSIONS_DIR names another directory. The log goes to standard error.

Example, in the configuration of a client:
  {"mcpServers":{"agent3":{"command":"agent3","args":["mcp"]}}}`,
    )
    .action(async () => (await import('../server/serve-stdio.ts')).serveStdio());
}
