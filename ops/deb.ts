import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pageFiles } from '../src/console/page-files.ts';
import { INVENTORY } from '../src/install/inventory.ts';
import {
  BINARY_ACCESS,
  CONSOLE_USER,
  DEFAULT_USER,
  LOOK_COMMENT,
  PACKAGED_PAGE,
  PATHS,
} from '../src/install/layout.ts';
import { fill } from '../src/install/plan.ts';
import { LOOK_USER } from '../src/lib/look-user.ts';
import { MANUAL_PAGES } from './manual.ts';

/** The content of a package. */
export interface DebOptions {
  readonly binary: string;
  /** Debian's name: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly version: string;
  /** The directory for the package. */
  readonly directory: string;
  /** Left out in tests on an emulated machine. */
  readonly compression?: 'gzip' | 'none';
}

const OPS = import.meta.dir;
const MAINTAINER = 'The Agent3 authors <owners@agent3.invalid>';

/** Log files, as on a machine without an older agent. */
const CAPTURED_LOGS = '/var/log/agent3/watchdog.log';

/** Makes `agent3_<version>_<architecture>.deb` with dpkg-deb(1) and returns its path. Throws without dpkg-deb. */
export function buildDeb({ binary, architecture, version, directory, compression = 'gzip' }: DebOptions): string {
  const tree = mkdtempSync(join(tmpdir(), 'agent3-deb-'));
  try {
    chmodSync(tree, 0o755);
    fillTree(tree, binary, version);
    writeControl(tree, architecture, version);
    const archive = join(directory, `agent3_${version}_${architecture}.deb`);
    const { exitCode, stderr } = Bun.spawnSync(
      ['dpkg-deb', '--root-owner-group', `-Z${compression}`, '--build', tree, archive],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    if (exitCode !== 0) throw new Error(`dpkg-deb failed: ${stderr}`);
    return archive;
  } finally {
    rmSync(tree, { recursive: true });
  }
}

function fillTree(tree: string, binary: string, version: string): void {
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, content);
    chmodSync(target, mode);
  };
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  cpSync(binary, join(tree, 'usr/bin/agent3'));
  chmodSync(join(tree, 'usr/bin/agent3'), BINARY_ACCESS.mode);
  // Not below /lib, which is a link to here: dpkg 1.22 warns when it removes a directory through it.
  for (const unit of shippedUnits()) {
    put(`usr/lib/systemd/system/${unit}`, template(unit).replaceAll('/usr/local/bin/agent3', '/usr/bin/agent3'));
  }
  put('etc/logrotate.d/agent3', template('agent3.logrotate').replace('@CAPTURED_LOGS@', CAPTURED_LOGS));
  put(
    'usr/share/doc/agent3/copyright',
    `${template('debian/copyright')}${indented(readFileSync(join(OPS, '../LICENSE'), 'utf8'))}`,
  );
  put('usr/share/doc/agent3/changelog.gz', gzipSync(changelog(version), { level: 9 }));
  for (const { name, text } of MANUAL_PAGES) put(`usr/share/man/man1/${name}.gz`, gzipSync(text, { level: 9 }));
  // With the paths of the repository, so that their links work.
  for (const directory of ['docs', 'pictures']) {
    for (const file of new Bun.Glob('**/*').scanSync(join(OPS, directory)))
      put(`usr/share/doc/agent3/ops/${directory}/${file}`, readFileSync(join(OPS, directory, file)));
  }
  put('usr/share/doc/agent3/README.md', readFileSync(join(OPS, '../README.md')));
  put('usr/share/bash-completion/completions/agent3', template('completion/agent3.bash'));
  put('usr/share/zsh/vendor-completions/_agent3', template('completion/agent3.zsh'));
  put('usr/share/fish/vendor_completions.d/agent3.fish', template('completion/agent3.fish'));
  for (const [name, { bytes }] of Object.entries(pageFiles())) put(`${PACKAGED_PAGE.slice(1)}/${name}`, bytes);
  put('usr/share/lintian/overrides/agent3', template('debian/lintian-overrides'));
  put('DEBIAN/conffiles', '/etc/logrotate.d/agent3\n');
  for (const script of ['postinst', 'prerm', 'postrm']) put(`DEBIAN/${script}`, maintainerScript(script), 0o755);
}

function maintainerScript(name: string): string {
  return fill(template(`debian/${name}`), {
    PURGED: purgedPaths().join(' '),
    CONFIGURATION: PATHS.configuration,
    SAVED: basename(PATHS.saved),
    AUDIT: PATHS.audit,
    UNIT: PATHS.unit,
    DROP_INS: PATHS.dropIns,
    HOME: PATHS.home,
    USER: DEFAULT_USER,
    LOOK_USER,
    LOOK_COMMENT,
    CONSOLE_USER,
    CONSOLE: PATHS.console,
  });
}

/**
 * Returns what the purge of the package removes. Not included: the configuration, of which a part stays, the drop-ins of
 * the agent, which may be from the agent before, and what dpkg removes itself.
 */
export function purgedPaths(): string[] {
  return INVENTORY.filter(({ kind }) => kind === 'directory' || kind === 'state')
    .map(({ name }) => name)
    .filter((name) => name !== PATHS.dropIns && !`${name}/`.startsWith(`${PATHS.configuration}/`));
}

/** The names of the units in the package. */
function shippedUnits(): string[] {
  const shipped = INVENTORY.filter((entry) => entry.shipped === true).map(({ name }) => basename(name));
  return shipped.filter((name) => /\.(service|timer|slice|socket|path)$/.test(name));
}

function template(name: string): string {
  return readFileSync(join(OPS, name), 'utf8');
}

/** Formats a field of several lines: each is indented, an empty line is a dot (deb822(5)). */
function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => ` ${line.trim() === '' ? '.' : line}\n`)
    .join('');
}

function changelog(version: string): string {
  return `agent3 (${version}) stable; urgency=medium

  * See the changes in CHANGELOG.md of the source.

 -- ${MAINTAINER}  ${new Date(Date.UTC(2026, 0, 1)).toUTCString().replace('GMT', '+0000')}
`;
}

function writeControl(tree: string, architecture: string, version: string): void {
  const kibibytes = Math.ceil(statSync(join(tree, 'usr/bin/agent3')).size / 1024);
  writeFileSync(
    join(tree, 'DEBIAN/control'),
    `Package: agent3
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes}
Section: admin
Priority: optional
Depends: libc6 (>= 2.31), passwd, systemd
Recommends: logrotate, bubblewrap
Suggests: caddy
Description: shell on this server for an AI model
 Agent3 gives an AI model, such as ChatGPT or Claude, a shell on this
 server: one executable that answers over HTTP, enforces limits and loses no
 output. This package installs it as a service with its own user.
`,
  );
}
