import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { describeErrno } from '../lib/errors.ts';
import { type CopyDeps, fetchFile, sendFile } from './copy.ts';
import { CopyFault, Refused } from './faults.ts';
import { readStream, type Started, startCommand } from './sessions.ts';

/** What a directory holds: paths below it, without links and special files. */
interface Tree {
  readonly directories: readonly string[];
  readonly files: readonly string[];
  /** Links and special files, which are not copied. */
  readonly left: number;
}

/** Called before each file of a directory, with its path below it. */
export type Begin = (path: string) => void;

/** Copies a directory with all in it to an agent; gives how many links and special files were left out. Throws a `ClientFault`. */
export async function sendTree(deps: CopyDeps, local: string, remote: string, begin: Begin): Promise<number> {
  const tree = await localTree(local);
  const names = ['', ...tree.directories].map((path) => posix.join(remote, path));
  await run(deps, 'xargs -0 mkdir -p --', names.join('\0'));
  for (const path of tree.files) {
    begin(path);
    await sendFile(deps, join(local, path), posix.join(remote, path));
  }
  return tree.left;
}

/** Copies a directory of an agent with all in it; gives how many links and special files were left out. Throws a `ClientFault`. */
export async function fetchTree(deps: CopyDeps, remote: string, local: string, begin: Begin): Promise<number> {
  const tree = await remoteTree(deps, remote);
  for (const path of ['', ...tree.directories]) await makeDirectory(join(local, path));
  for (const path of tree.files) {
    begin(path);
    await fetchFile(deps, posix.join(remote, path), join(local, path));
  }
  return tree.left;
}

/** Whether a path of an agent is a directory; false where its token may run no command to find out. Throws a `ClientFault`. */
export async function isRemoteDirectory(deps: CopyDeps, remote: string): Promise<boolean> {
  try {
    const said = await run(deps, 'IFS= read -r path; if [ -d "$path" ]; then echo yes; fi', `${remote}\n`);
    return said.toString() === 'yes\n';
  } catch (fault) {
    if (fault instanceof Refused && fault.status === 400) return false;
    throw fault;
  }
}

async function localTree(directory: string): Promise<Tree> {
  const directories: string[] = [];
  const files: string[] = [];
  let left = 0;
  const walk = async (below: string): Promise<void> => {
    for (const name of (await readdir(join(directory, below))).sort()) {
      const path = join(below, name);
      const stat = await lstat(join(directory, path));
      if (stat.isDirectory()) {
        directories.push(path);
        await walk(path);
      } else if (stat.isFile()) files.push(path);
      else left++;
    }
  };
  try {
    await walk('');
  } catch (error) {
    throw new CopyFault(`${directory} cannot be read: ${describeErrno(error)}`);
  }
  return { directories, files, left };
}

async function remoteTree(deps: CopyDeps, remote: string): Promise<Tree> {
  const find = 'IFS= read -r path; find "$path" -mindepth 1 -printf "%y%P\\0"';
  const entries = (await run(deps, find, `${remote}\n`)).toString().split('\0').slice(0, -1);
  const of = (kind: string): string[] =>
    entries.filter((entry) => entry.startsWith(kind)).map((entry) => requireInside(entry.slice(1)));
  const [directories, files] = [of('d').sort(), of('f').sort()];
  return { directories, files, left: entries.length - directories.length - files.length };
}

/** An agent that was taken over must not write elsewhere on this machine. Throws `CopyFault`. */
function requireInside(path: string): string {
  if (path !== '' && path.split('/').every((part) => part !== '..' && part !== '.' && part !== '')) return path;
  throw new CopyFault(`the agent names a file outside of the directory: ${JSON.stringify(path)}. Nothing was copied.`);
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw new CopyFault(`the directory ${path} cannot be made: ${describeErrno(error)}`);
  }
}

/** Standard output of a command of the agent. Throws `CopyFault` when it fails. */
async function run({ client, patience }: CopyDeps, cmd: string, stdin: string): Promise<Buffer> {
  const started: Started = await startCommand(client, { cmd, stdin, key: crypto.randomUUID() }, patience());
  const read = async (stream: 'stdout' | 'stderr') => {
    const pages: Uint8Array[] = [];
    const all = readStream(client, started.session, { stream, offset: 0, follow: true, raw: true });
    for (;;) {
      const { done, value } = await all.next();
      if (done) return { bytes: Buffer.concat(pages), code: value };
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
