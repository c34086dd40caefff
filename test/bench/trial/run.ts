/**
 * Sets up one play of the trial and serves it until it is stopped (Ctrl-C or SIGTERM):
 *
 *     bun test/bench/trial/run.ts agent3|plain DIRECTORY [--jobs files]
 *
 * `DIRECTORY` is made. It gets `play.md` for the player, `call`, the strict client, and `server/`, used as a server.
 * For the jobs about files it also gets `local/`, used as the player's own machine.
 */
import { chownSync, copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../../helpers/ports.ts';
import { FILE_JOBS } from './file-jobs.ts';
import { JOBS, type Job } from './jobs.ts';
import { FakeServer } from './server.ts';

export type Side = 'agent3' | 'plain';

const SETS = { server: JOBS, files: FILE_JOBS } satisfies Record<string, readonly Job[]>;
export type JobSet = keyof typeof SETS;

const REPOSITORY = join(import.meta.dir, '../../..');

/** What a play runs on. */
interface Place {
  readonly set: JobSet;
  readonly directory: string;
  readonly url: string;
  readonly token: string;
  /** As root, the server and its commands get a user of their own, so that plays do not meet. */
  readonly user: { readonly uid?: number; readonly gid?: number };
}

/** Makes the directory of a play with everything but the running server. */
async function prepare(set: JobSet, directory: string): Promise<Place> {
  if (/^\/(?:tmp|var\/tmp|run)\//.test(directory))
    throw new Error(`look does not see ${directory}: name a directory outside of /tmp, /var/tmp and /run`);
  mkdirSync(directory, { recursive: true });
  if (readdirSync(directory).length > 0) throw new Error(`${directory} is not empty: name a new directory`);
  const port = await freePort();
  const server = new FakeServer(join(directory, 'server'));
  server.write('tmp/README', 'room for files of your own\n');
  // Closed to the commands of the server, which runs on the same machine.
  if (set === 'files') mkdirSync(join(directory, 'local'), { mode: 0o700 });
  for (const job of SETS[set]) job.prepare(server, localOf(directory));
  mkdirSync(join(directory, 'sessions'));
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? { uid: 100_000 + port, gid: 100_000 + port } : {};
  if (isRoot) for (const path of below(directory)) chownSync(path, 100_000 + port, 100_000 + port);
  const place = { set, directory, url: `http://127.0.0.1:${port}`, token: crypto.randomUUID(), user };
  writeFileSync(join(directory, 'call'), callText(place), { mode: 0o755 });
  return place;
}

function localOf(directory: string): FakeServer {
  return new FakeServer(join(directory, 'local'));
}

function below(directory: string): readonly string[] {
  const names = ['server', 'sessions'];
  return names.flatMap((name) => [
    join(directory, name),
    ...readdirSync(join(directory, name), { recursive: true }).map((inner) => join(directory, name, String(inner))),
  ]);
}

function callText({ directory, url, token }: Place): string {
  const client = join(import.meta.dir, 'client.ts');
  return `#!/bin/sh\nTRIAL_URL=${url} TRIAL_TOKEN=${token} TRIAL_LOG=${directory}/calls.jsonl exec ${process.execPath} ${client} "$@"\n`;
}

/** Starts the server of a play. */
function start(side: Side, { directory, url, token, user }: Place): Bun.Subprocess {
  const port = new URL(url).port;
  const home = join(directory, 'server');
  // As Agent3 finds it: the user of a play has no account, so no home either.
  const account = user.uid === undefined ? homedir() : '/';
  const base = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: account };
  const sessions = join(directory, 'sessions');
  const kinds = {
    plain: {
      source: 'test/bench/peers/flask_agent.py',
      before: ['/usr/bin/python3'],
      after: [],
      env: { PORT: port, API_TOKEN: token, SESSIONS_DIR: sessions },
    },
    agent3: {
      source: 'dist/agent3',
      before: [],
      after: ['serve'],
      env: { AGENT3_API_TOKEN: token, AGENT3_PORT: port, AGENT3_SESSIONS_DIR: sessions },
    },
  };
  const { source, before, after, env } = kinds[side];
  // A copy: the repository may be closed to the user of the play, and is built again meanwhile.
  const program = join(directory, basename(source));
  copyFileSync(join(REPOSITORY, source), program);
  return Bun.spawn([...before, program, ...after], {
    cwd: home,
    stdio: ['ignore', 'ignore', Bun.file(join(directory, 'log'))],
    env: { ...base, ...env },
    ...user,
  });
}

async function answering(url: string, child: Bun.Subprocess): Promise<void> {
  while (child.exitCode === null) {
    const answer = await fetch(`${url}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await Bun.sleep(50);
  }
  throw new Error('the server did not start: read log in the directory (plain needs the package python3-flask)');
}

/** What the player is told of his tool: for Agent3 what an owner pastes into a GPT, for the plain one three lines. */
async function toolText(side: Side, { directory, url }: Place): Promise<string> {
  if (side === 'plain')
    return `POST / with {"op":"shell","args":{"cmd":"…"}} runs a command with sh, 45 s at most, and answers {"stdout","stderr","exit_code"}.
Where stdout is longer than 90 KB, the answer has a session: {"op":"read_session","args":{"session":"…","offset":0,"limit":92160}} reads it.
{"op":"close_session","args":{"session":"…"}} removes it.`;
  const kit = Bun.spawnSync([join(directory, 'agent3'), 'gpt', '--json', '--url', 'https://agent.example.org']);
  const { instructions } = JSON.parse(kit.stdout.toString()) as { instructions: string };
  writeFileSync(join(directory, 'openapi.json'), await (await fetch(`${url}/openapi.json`)).text());
  return `${instructions}\n\nThe operations and their arguments are described in ${directory}/openapi.json: read it first.`;
}

/** What the player is told of his own files, and of the client's way to move them. */
function localText(side: Side, { directory }: Place): string {
  const links = `
The client also uses a link that the server has given, which is a call too:

    ${directory}/call put LINK FILE
    ${directory}/call get LINK FILE
`;
  return `${side === 'agent3' ? links : ''}
Your own files are in ${directory}/local, which the server cannot reach. With these, and with bodies and answers of the client, your own shell may do anything.
What the client prints counts as read, also where you send it to a file.
`;
}

function playText(side: Side, place: Place, tool: string): string {
  const { set, directory } = place;
  const [path, body] =
    side === 'agent3' ? ['/shell', '{"cmd":"uptime"}'] : ['/', '{"op":"shell","args":{"cmd":"uptime"}}'];
  const jobs = SETS[set].map(({ ask }, at) => {
    const text = ask.replaceAll('R/', `${directory}/server/`).replaceAll('L/', `${directory}/local/`);
    return `${at + 1}. ${text}`;
  });
  return `# You work on a server

${tool}

You reach the server through one client alone, which prints the answer:

    ${directory}/call ${path} <<'E'
    ${body}
    E

It drops an answer that takes 45 s or has 100,000 characters, as a chat would. Every call and every character that you read costs.
Use your own shell for nothing but this client and the two files below: do not look at the server, at its files or at this trial in another way.
${set === 'files' ? localText(side, place) : ''}
## Jobs

The server's files are below ${directory}/server. All programs that run from there are the owner's: you may stop them where a job asks for it.
Do the jobs in any order.

${jobs.join('\n')}

## At the end

Write ${directory}/answers.txt: a line \`N: what the owner wants to know\` for each job.
Write ${directory}/friction.md: what surprised you, what cost you a call, what an answer should have said.
`;
}

/** Starts the programs of the server that run from the beginning. */
function startPrograms({ set, directory, user }: Place): readonly Bun.Subprocess[] {
  const programs = SETS[set].flatMap(({ running }) => running ?? []);
  return programs.map((name) =>
    Bun.spawn([join(directory, 'server', name)], { ...user, stdio: ['ignore', 'ignore', 'ignore'] }),
  );
}

/** How a play ended, for the sum. */
export interface Result {
  readonly side: Side;
  readonly set: JobSet;
  /** The numbers of the jobs that were not done, or not answered. */
  readonly missed: readonly number[];
}

function resultOf(side: Side, { set, directory }: Place): Result {
  const server = new FakeServer(join(directory, 'server'));
  const answers = new FakeServer(directory).read('answers.txt');
  const answerTo = (number: number): string =>
    new RegExp(`^${number}:([^]*?)(?=^\\d+:|$(?![^]))`, 'm').exec(answers)?.[1] ?? '';
  const local = localOf(directory);
  const missed = SETS[set].flatMap((job, at) => (job.isDone(server, answerTo(at + 1), local) ? [] : [at + 1]));
  return { side, set, missed };
}

/** Ends what the player left running: all of the user of this play, or the service of job 9. */
function stopLeftOvers({ directory, user: { uid } }: Place): void {
  const isOurs = (pid: number): boolean =>
    uid === undefined
      ? String(pid) === new FakeServer(join(directory, 'server')).read('var/run/shopd.pid').trim()
      : statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === uid;
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (pid > 1 && isOurs(pid)) process.kill(pid, 'SIGKILL');
  }
}

if (import.meta.main) {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { jobs: { type: 'string' } } });
  const [side, given] = positionals;
  const { jobs: set = 'server' } = values;
  if ((side !== 'agent3' && side !== 'plain') || given === undefined || (set !== 'server' && set !== 'files')) {
    console.error('usage: bun test/bench/trial/run.ts agent3|plain DIRECTORY [--jobs files]');
    process.exit(2);
  }
  const place = await prepare(set, resolve(given));
  const server = start(side, place);
  const programs = startPrograms(place);
  const ended = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ended.resolve());
  try {
    await answering(place.url, server);
    writeFileSync(join(place.directory, 'play.md'), playText(side, place, await toolText(side, place)));
    console.log(
      `Give the player ${place.directory}/play.md. Sum up with: bun test/bench/trial/sum.ts ${place.directory}`,
    );
    await Promise.race([ended.promise, server.exited]);
  } finally {
    writeFileSync(join(place.directory, 'result.json'), JSON.stringify(resultOf(side, place)));
    for (const child of [...programs, server]) child.kill();
    await server.exited;
    stopLeftOvers(place);
    rmSync(join(place.directory, 'agent3'), { force: true });
  }
}
