import { basename, join } from 'node:path';

/**
 * Prints the files of the page, bundled and compressed, as JSON: name → base64 of gzip. The names of all but `index.html`
 * have a hash of their content. A process of its own, which the macro in `files-macro.ts` starts: a macro may not bundle.
 */
const { outputs } = await Bun.build({
  entrypoints: [join(import.meta.dir, 'index.html')],
  target: 'browser',
  minify: true,
  splitting: true,
  naming: { entry: '[name].[ext]', chunk: '[name]-[hash].[ext]', asset: '[name]-[hash].[ext]' },
});
const files: Record<string, string> = {};
for (const output of outputs) {
  const bytes = Bun.gzipSync(new Uint8Array(await output.arrayBuffer()), { level: 9 });
  files[basename(output.path)] = Buffer.from(bytes).toString('base64');
}
process.stdout.write(JSON.stringify(files));
