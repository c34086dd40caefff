import { basename, join } from 'node:path';

/**
 * Prints the files of the page, bundled and compressed, as JSON: name → base64 of gzip. Names have a hash of the content,
 * but for the page, its worker and what an installed app is made of: these have to be found again. A process of its own,
 * which the macro in `page-macro.ts` starts: a macro may not bundle.
 */
const at = (name: string): string => join(import.meta.dir, name);
const options = { target: 'browser', minify: true } as const;
const page = await Bun.build({
  ...options,
  entrypoints: [at('index.html')],
  splitting: true,
  naming: { entry: '[name].[ext]', chunk: '[name]-[hash].[ext]', asset: '[name]-[hash].[ext]' },
});
const worker = await Bun.build({ ...options, entrypoints: [at('worker.ts')], naming: '[name].[ext]' });

const SIZES = [192, 512] as const;
const icon = (size: number): string => `icon-${size}.png`;
const manifest = {
  name: 'Agent3',
  short_name: 'Agent3',
  id: '/',
  start_url: '/',
  scope: '/',
  display: 'standalone',
  background_color: '#17525c',
  theme_color: '#17525c',
  icons: SIZES.flatMap((size) =>
    ['any', 'maskable'].map((purpose) => ({ src: icon(size), sizes: `${size}x${size}`, type: 'image/png', purpose })),
  ),
};
/** Put in here: the bundler would give them other names. */
const LINKS = `<link rel="manifest" href="./manifest.json"><link rel="apple-touch-icon" href="./${icon(192)}"></head>`;

const files: Record<string, string> = {};
const put = (name: string, bytes: Uint8Array<ArrayBuffer>): void => {
  files[name] = Buffer.from(Bun.gzipSync(bytes, { level: 9 })).toString('base64');
};
const bytesOf = (text: string) => new TextEncoder().encode(text);
for (const output of [...page.outputs, ...worker.outputs]) {
  const name = basename(output.path);
  if (name === 'index.html') put(name, bytesOf((await output.text()).replace('</head>', LINKS)));
  else put(name, new Uint8Array(await output.arrayBuffer()));
}
put('manifest.json', bytesOf(JSON.stringify(manifest)));
for (const size of SIZES) put(icon(size), await Bun.file(at(icon(size))).bytes());
process.stdout.write(JSON.stringify(files));
