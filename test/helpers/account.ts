const [, , , , , home = '/'] = Bun.spawnSync(['getent', 'passwd', String(process.getuid?.() ?? 0)])
  .stdout.toString()
  .trim()
  .split(':');

/** The user that the tests and the agent run as, by the user database: Bun's own `userInfo` reads the environment. */
export const account = {
  name: Bun.spawnSync(['id', '--user', '--name']).stdout.toString().trim(),
  home,
} as const;
