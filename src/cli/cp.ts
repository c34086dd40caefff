import { statSync } from 'node:fs';
import { basename, join, posix, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings';
import { Backoff } from '../client/backoff.ts';
import { type CopyDeps, fetchFile, sendFile } from '../client/copy.ts';
import { fetchTree, isRemoteDirectory, sendTree } from '../client/copy-tree.ts';
import { ClientFault } from '../client/faults.ts';
import { Interrupts } from '../client/interrupts.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { ProgressBar } from './progress-bar.ts';
import { REMOTE_HELP, type RemoteOptions, remoteClient, withRemote } from './remote.ts';

/** `agent3 cp`. */
export function defineCp(command: Command): void {
  withRemote(
    command.argument('<file>', 'file to copy, or with -r a directory').argument('<target>', 'where to copy it'),
  )
    .option('-r, --recursive', 'copy a directory and its content')
    .option('-q, --quiet', 'show no progress bar')
    .option('--server <name>', 'server of a fleet that the path is on', oneServer)
    .addHelpText('after', EXAMPLES + REMOTE_HELP)
    .action((source, target, options) => runCp(source, target, options));
}

function oneServer(name: string, earlier?: string): string {
  if (earlier === undefined) return name;
  throw new InvalidArgumentError('cp is for one server. For more, repeat the command.');
}

const EXAMPLES = `
One path is on an agent. It begins with a colon, or with a name and a colon: the host name of an agent, which has a dot,
or the name of a server of the fleet, which has none. For a server with a dot in its name, use --server.

Examples:
  agent3 cp site.tgz :/srv/site.tgz
  agent3 cp :/var/log/syslog .
  agent3 cp -r site agent.example.org:/srv            to /srv/site, by https
  agent3 cp -r :/etc/nginx backup
  agent3 cp site.tgz web1:/srv/site.tgz               to a server of the fleet, through its hub

cp resumes after a broken connection, for up to a minute. At the end it compares the SHA-256 of both files.
The target keeps its content until the copy is complete, and it keeps its permissions.
With -r, symbolic links are copied as links. Pipes, sockets and devices are not copied: cp lists them and exits with 1.
`;

interface CpOptions extends RemoteOptions {
  readonly recursive?: true;
  readonly quiet?: true;
  readonly server?: string;
}

/** The path on the agent, after the colon. */
interface RemotePath {
  /** Host name of the agent, or name of a server of its fleet; empty for what the options and the environment name. */
  readonly host: string;
  readonly path: string;
}

/** Parses a path on an agent; undefined for a path on this machine. */
export function remotePathIn(word: string): RemotePath | undefined {
  const [, host, path] = /^([^/:]*):(.*)$/s.exec(word) ?? [];
  return host === undefined || path === undefined ? undefined : { host, path: posix.normalize(path) };
}

async function runCp(source: string, target: string, options: CpOptions): Promise<void> {
  const [from, to] = [remotePathIn(source), remotePathIn(target)];
  const remote = from ?? to;
  if (remote === undefined || (from !== undefined && to !== undefined))
    fail(EXIT_USAGE, 'one path must be on an agent and the other on this machine: agent3 cp FILE :/path/on/the/agent');
  if (!remote.path.startsWith('/'))
    fail(EXIT_USAGE, `a path on an agent must be absolute: ${remote.host}:/${remote.path}`);
  const { host, server } = whereOf(remote, options);
  const client = remoteClient(host === undefined ? options : { ...options, url: `https://${host}` }, EXIT_USAGE);
  const interrupts = new Interrupts();
  interrupts.listen(() => process.exit(interrupts.exitCode));
  using bar = new ProgressBar(options.quiet === true);
  const backoff = (): Backoff =>
    new Backoff(interrupts.signal, (fault, seconds) => bar.say(`${fault.message} Trying again in ${seconds} s.`));
  const deps = { client, backoff, progress: bar.show, say: (text: string) => bar.say(text), server };
  try {
    const left =
      from === undefined
        ? await send(deps, source, remote.path, options.recursive === true, bar)
        : await receive(deps, remote.path, target, options.recursive === true, bar);
    bar.end();
    if (left.length > 0) fail(EXIT_FAILURE, notCopied(left));
  } catch (error) {
    bar.end();
    if (error instanceof ClientFault) fail(EXIT_FAILURE, error.message);
    throw error;
  }
}

/** The agent that a path names, and the server of its fleet. Exits where the options name another one. */
function whereOf(
  { host: name }: RemotePath,
  { server, url }: CpOptions,
): { host?: string; server?: string | undefined } {
  if (name === '') return { server };
  const isHost = name.includes('.') || name === 'localhost';
  if (isHost && url !== undefined) fail(EXIT_USAGE, `give --url or ${name}:, not both`);
  if (!isHost && server !== undefined) fail(EXIT_USAGE, `give --server or ${name}:, not both`);
  return isHost ? { host: name, server } : { server: name };
}

const MOST_NAMED = 10;

function notCopied(left: readonly string[]): string {
  const more = left.length > MOST_NAMED ? `, and ${left.length - MOST_NAMED} more` : '';
  return `not copied (only files, directories and symbolic links are): ${left.slice(0, MOST_NAMED).join(', ')}${more}`;
}

async function send(
  deps: CopyDeps,
  local: string,
  remote: string,
  isTree: boolean,
  bar: ProgressBar,
): Promise<readonly string[]> {
  const isDirectory = isLocalDirectory(local);
  if (isDirectory === undefined) fail(EXIT_FAILURE, `${local} does not exist`);
  if (isDirectory && !isTree) fail(EXIT_USAGE, `${local} is a directory. To copy it: -r`);
  // Like cp, copies into an existing directory.
  const isInto = remote.endsWith('/') || (await isRemoteDirectory(deps, remote));
  const target = isInto ? posix.join(remote, basename(resolve(local))) : remote;
  if (isDirectory) return sendTree(deps, local, target, bar.begin);
  bar.begin(basename(local));
  await sendFile(deps, local, target);
  return [];
}

async function receive(
  deps: CopyDeps,
  remote: string,
  local: string,
  isTree: boolean,
  bar: ProgressBar,
): Promise<readonly string[]> {
  const isInto = local.endsWith('/') || isLocalDirectory(local) === true;
  const target = isInto ? join(local, posix.basename(remote)) : local;
  if (isTree && (await isRemoteDirectory(deps, remote))) return fetchTree(deps, remote, target, bar.begin);
  bar.begin(posix.basename(remote));
  await fetchFile(deps, remote, target);
  return [];
}

/** Returns undefined when nothing exists there. */
function isLocalDirectory(path: string): boolean | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory();
}
