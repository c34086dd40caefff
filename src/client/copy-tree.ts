import { lstat, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { describeErrno } from '../lib/errors.ts';
import { type CopyDeps, fetchFile, sendFile } from './copy.ts';
import { CopyFault, Refused } from './faults.ts';
import { readStream, type Started, startCommand } from './sessions.ts';

/** The content of a directory, as paths below it. */
interface Tree {
  readonly directories: readonly string[];
  readonly files: readonly string[];
  /** Symbolic links, each with its target. */
  readonly links: readonly (readonly [path: string, target: string])[];
  /** What is not copied: pipes, sockets, devices, and links whose target is not UTF-8. */
  readonly left: readonly string[];
}

/** Called before each file of a directory, with its path below it. */
export type Begin = (path: string) => void;

/** Copies a directory and its content to an agent. Returns the paths that cannot be copied. Throws a `ClientFault`. */
export async function sendTree(
  deps: CopyDeps,
  local: string,
  remote: string,
  begin: Begin,
): Promise<readonly string[]> {
  const tree = await localTree(local);
  const names = ['', ...tree.directories].map((path) => posix.join(remote, path));
  await run(deps, 'xargs -0 mkdir -p --', names.join('\0'));
  for (const path of tree.files) {
    begin(path);
    await sendFile(deps, join(local, path), posix.join(remote, path));
  }
  const links = tree.links.map(([path, target]) => `${target}\0${posix.join(remote, path)}\0`);
  if (links.length > 0) await run(deps, MAKE_LINKS, links.join(''));
  return tree.left;
}

const MAKE_LINKS =
  'while IFS= read -rd "" target && IFS= read -rd "" path; do ln -sfT -- "$target" "$path" || exit; done';

/** Copies a directory of an agent and its content. Returns the paths that cannot be copied. Throws a `ClientFault`. */
export async function fetchTree(
  deps: CopyDeps,
  remote: string,
  local: string,
  begin: Begin,
): Promise<readonly string[]> {
  const tree = await remoteTree(deps, remote);
  for (const path of ['', ...tree.directories]) await makeDirectory(join(local, path), path === '');
  for (const path of tree.files) {
    begin(path);
    await fetchFile(deps, posix.join(remote, path), join(local, path));
  }
  // Links come last, so that nothing is written through a link that the agent names.
  for (const [path, target] of tree.links) await makeLink(target, join(local, path));
  return tree.left;
}

/** Returns true when a path of an agent is a directory; false when the token may not run commands. Throws a `ClientFault`. */
export async function isRemoteDirectory(deps: CopyDeps, remote: string): Promise<boolean> {
  try {
    const said = await run(deps, 'IFS= read -r path; if [ -d "$path" ]; then echo yes; fi', `${remote}\n`);
    return said.toString() === 'yes\n';
  } catch (fault) {
    if (fault instanceof Refused && fault.status === 403 && !fault.isTokenRefused) return false;
    throw fault;
  }
}

async function localTree(directory: string): Promise<Tree> {
  const directories: string[] = [];
  const files: string[] = [];
  const links: [string, string][] = [];
  const left: string[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const name of (await readdir(join(directory, below))).sort()) {
      const path = join(below, name);
      const stat = await lstat(join(directory, path));
      if (stat.isDirectory()) {
        directories.push(path);
        await walk(path);
      } else if (stat.isFile()) files.push(path);
      else if (stat.isSymbolicLink()) links.push([path, await readlink(join(directory, path))]);
      else left.push(path);
    }
  };
  try {
    await walk('');
  } catch (error) {
    throw new CopyFault(`${directory} cannot be read: ${describeErrno(error)}`);
  }
  return withoutOddTargets({ directories, files, links, left });
}

/** A target that is not UTF-8 would change in JSON. */
function withoutOddTargets({ links, left, ...tree }: Tree): Tree {
  const isOdd = ([, target]: Tree['links'][number]): boolean => target.includes('\ufffd');
  return {
    ...tree,
    links: links.filter((link) => !isOdd(link)),
    left: [...left, ...links.filter(isOdd).map(([path]) => path)],
  };
}

async function remoteTree(deps: CopyDeps, remote: string): Promise<Tree> {
  const find = 'IFS= read -r path; find "$path" -mindepth 1 -printf "%y%P\\0%l\\0"';
  const words = (await run(deps, find, `${remote}\n`)).toString().split('\0');
  const kinds: Record<string, [string, string][]> = { d: [], f: [], l: [], other: [] };
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [entry = '', target = ''] = words.slice(at, at + 2);
    const kind = kinds[entry.slice(0, 1)] ?? kinds['other'];
    kind?.push([requireInside(entry.slice(1)), target]);
  }
  const { d = [], f = [], l = [], other = [] } = kinds;
  const paths = (entries: [string, string][]): string[] => entries.map(([path]) => path).sort();
  const directories = paths(d);
  const known = new Set(['.', ...directories]);
  // A directory that is missing in the list would not be checked before something is written in it.
  for (const [path] of [...d, ...f, ...l]) if (!known.has(posix.dirname(path))) throw outside(path);
  return withoutOddTargets({ directories, files: paths(f), links: l, left: paths(other) });
}

/** Requires a path inside the directory: a compromised agent must not write elsewhere. Throws `CopyFault`. */
function requireInside(path: string): string {
  if (path !== '' && path.split('/').every((part) => part !== '..' && part !== '.' && part !== '')) return path;
  throw outside(path);
}

const outside = (path: string): CopyFault =>
  new CopyFault(`the agent names a file outside of the directory: ${JSON.stringify(path)}. Nothing was copied.`);

/** Makes a local directory. Only the top directory of a copy may be a symbolic link. Throws `CopyFault`. */
async function makeDirectory(path: string, isFirst: boolean): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    if (isFirst || !(await lstat(path)).isSymbolicLink()) return;
  } catch (error) {
    throw new CopyFault(`the directory ${path} cannot be made: ${describeErrno(error)}`);
  }
  throw new CopyFault(
    `${path} is a symbolic link here, but a directory on the agent. Remove the link, then copy again.`,
  );
}

/** Makes a local link, which replaces a file or another link. Throws `CopyFault`. */
async function makeLink(target: string, path: string): Promise<void> {
  const part = `${path}.agent3-part`;
  try {
    await rm(part, { force: true });
    await symlink(target, part);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw new CopyFault(`the link ${path} cannot be made: ${describeErrno(error)}`);
  }
}

/** Runs a command on the agent and returns its standard output. Throws `CopyFault` when it fails. */
async function run({ client, server, backoff }: CopyDeps, cmd: string, stdin: string): Promise<Buffer> {
  const order = { ...(server !== undefined && { server }), cmd, stdin, key: crypto.randomUUID() };
  const started: Started = await startCommand(client, order, backoff());
  const read = async (stream: 'stdout' | 'stderr') => {
    const pages: Uint8Array[] = [];
    const all = readStream(client, started.session, { stream, offset: 0, follow: true, raw: true });
    for (;;) {
      const { done, value } = await all.next();
      if (done) return { bytes: Buffer.concat(pages), code: value.exit_code };
      pages.push(value);
    }
  };
  const { bytes, code } = await read('stdout');
  if (code === 0) return bytes;
  const said = (await read('stderr')).bytes.toString().trim().split('\n').at(-1) ?? '';
  throw new CopyFault(
    said === '' ? `a command on the agent failed (exit code ${code}): ${cmd}` : `on the agent: ${said}`,
  );
}
