import { join } from 'node:path';

/**
 * Bundles the page while `page-files.ts` is compiled, so that the executable has it inside, and a run from source makes it
 * from the sources. Throws what the bundler says.
 */
export function bundlePage(): string {
  const command = [process.execPath, join(import.meta.dir, 'page/bundle.ts')];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdout: 'pipe', stderr: 'pipe' });
  if (exitCode !== 0) throw new Error(`the page of the console cannot be bundled: ${stderr.toString()}`);
  return stdout.toString();
}
