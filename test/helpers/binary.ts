import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** The compiled agent; `AGENT3_TEST_BINARY` names another one, say of another platform. */
export const BINARY = resolve(Bun.env['AGENT3_TEST_BINARY'] ?? `${import.meta.dir}/../../dist/agent3`);

if (!existsSync(BINARY)) throw new Error(`${BINARY} does not exist: run "bun run build" first`);

/** Set where a test starts the agent; nothing else of the test's own environment reaches it. */
export const BASE_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
};

/** A token as an owner would make it. */
export function randomToken(): string {
  return crypto.randomUUID().replaceAll('-', '');
}
