import { InvalidArguments, ProfileUnavailable } from '../lib/errors.ts';
import { exportLine, markBeginning, openStatus, SandboxFault, type Status } from '../process/beginning.ts';
import { SESSION_MARK } from '../process/environment.ts';
import type { Descriptors } from '../process/start.ts';
import { asUser, type Inside, prepareSandbox, TRUSTED_PATH, trustedProgram } from '../sandbox/sandbox.ts';
import type { Isolation } from './isolation.ts';

/** The programs that isolate a command, and what they are started with. */
export interface IsolationPrefix {
  /** Precede the words of the command. */
  readonly words: readonly string[];
  /** What these programs read, from descriptor 3 on. */
  readonly inputs: readonly Uint8Array[];
  /** Further descriptors, after the inputs; the first reports that the command has begun. */
  readonly descriptors: readonly number[];
  /** Reports whether the command has begun. */
  readonly status: Status;
  /** Their environment. It contains nothing from a client, because they run with the rights of the agent. */
  readonly env: Readonly<Record<string, string>>;
  /** Their working directory; the command has its own. */
  readonly cwd: string;
}

/**
 * Returns the prefix of an isolated command: user, file limits, sandbox. Returns undefined when the profile has none of
 * them. What it opens belongs to `descriptors`. Throws `InvalidArguments` for a name in `env` that cannot be passed on,
 * `ProfileUnavailable` when the sandbox cannot be made.
 */
export function isolationPrefix(
  isolation: Isolation,
  inside: Inside,
  descriptors: Descriptors,
): IsolationPrefix | undefined {
  const { sandbox, account, fileBytes, coreBytes } = isolation;
  const outer = [
    ...(account === undefined ? [] : asUser(account)),
    ...(fileBytes === undefined ? [] : [trustedProgram('prlimit'), `--fsize=${fileBytes}`, '--']),
    ...(coreBytes === undefined ? [] : [trustedProgram('prlimit'), `--core=${coreBytes}`, '--']),
  ];
  if (sandbox === undefined && outer.length === 0) return undefined;
  requireNames(inside.env);
  const own = { cwd: '/', env: { PATH: TRUSTED_PATH, [SESSION_MARK]: inside.env[SESSION_MARK] ?? '' } };
  try {
    if (sandbox === undefined) {
      const inputs = [exportsOf(inside.env)];
      const status = openStatus(descriptors, false);
      return {
        ...own,
        words: [...outer, '/bin/sh', '-c', ENTER, inside.cwd],
        inputs,
        descriptors: [status.writing],
        status,
      };
    }
    const { words, filter, options, ...more } = prepareSandbox(sandbox, inside, descriptors);
    return { ...own, words: [...outer, ...words], inputs: [filter, options], ...more };
  } catch (error) {
    if (!(error instanceof SandboxFault)) throw error;
    throw notRun(error.message, error);
  }
}

/** Returns the refusal of a command that cannot be isolated, with the reason. */
export function notRun(reason: string, cause: unknown): ProfileUnavailable {
  return new ProfileUnavailable(
    `Nothing was run: the profile of this token needs a sandbox, a user or limits for its commands, but ${reason}. If this continues, tell the owner of the server.`,
    cause,
  );
}

/** Runs as the user of the profile: takes over environment and directory, then starts the command. */
const ENTER = `eval "$(cat <&3)"; exec 3<&-
cd -- "$0" 2> /dev/null || { echo "agent3: the user of this profile cannot enter the working directory" >&2; exit 126; }
${markBeginning(4)}
exec "$@"`;

/** Throws `InvalidArguments` for a name that the shell in front of the command would not pass on. */
function requireNames(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(env)) {
    if (/^[A-Za-z_]\w*$/.test(name)) continue;
    throw new InvalidArguments(
      `env has the name ${JSON.stringify(name.slice(0, 60))}: in the profile of this token, a name has only letters, digits and _, and does not begin with a digit. Set it in the command instead: env 'NAME=VALUE' PROGRAM; define a function there.`,
    );
  }
}

const exportsOf = (env: Readonly<Record<string, string>>): Uint8Array =>
  Buffer.from(Object.entries(env).map(exportLine).join('\n'));
