import { InvalidArguments, ProfileUnavailable } from '../lib/errors.ts';
import { exportLine, markBeginning, openStatus, SandboxFault, type Status } from '../process/beginning.ts';
import { SESSION_MARK } from '../process/environment.ts';
import type { Descriptors } from '../process/start.ts';
import { asUser, prepareSandbox, TRUSTED_PATH, trustedProgram } from '../sandbox/sandbox.ts';
import type { Confinement } from './confinement.ts';

/** What stands between the agent and a confined command. */
export interface Boundary {
  /** Before the words of the command. */
  readonly words: readonly string[];
  /** What the programs of it read, from descriptor 3 on. */
  readonly inputs: readonly Uint8Array[];
  /** What they get behind those: where the beginning is told first. */
  readonly descriptors: readonly number[];
  /** Tells whether the command has begun. */
  readonly status: Status;
  /** Their environment: nothing that a client has sent, because they run with the rights of the agent. */
  readonly env: Readonly<Record<string, string>>;
  /** Their working directory; the command's is behind the boundary. */
  readonly cwd: string;
}

/** What a command starts with behind its boundary. */
export interface Behind {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The boundary of a confined command: user, limits of files, sandbox. Undefined where its profile has none of them. What
 * it opens belongs to `descriptors`. Throws `InvalidArguments` for an environment that does not pass it,
 * `ProfileUnavailable` where a sandbox cannot be had.
 */
export function boundaryOf(confinement: Confinement, behind: Behind, descriptors: Descriptors): Boundary | undefined {
  const { sandbox, account, fileBytes, coreBytes } = confinement;
  const outer = [
    ...(account === undefined ? [] : asUser(account)),
    ...(fileBytes === undefined ? [] : [trustedProgram('prlimit'), `--fsize=${fileBytes}`, '--']),
    ...(coreBytes === undefined ? [] : [trustedProgram('prlimit'), `--core=${coreBytes}`, '--']),
  ];
  if (sandbox === undefined && outer.length === 0) return undefined;
  requireNames(behind.env);
  const own = { cwd: '/', env: { PATH: TRUSTED_PATH, [SESSION_MARK]: behind.env[SESSION_MARK] ?? '' } };
  try {
    if (sandbox === undefined) {
      const inputs = [exportsOf(behind.env)];
      const status = openStatus(descriptors, false);
      return {
        ...own,
        words: [...outer, '/bin/sh', '-c', ENTER, behind.cwd],
        inputs,
        descriptors: [status.writing],
        status,
      };
    }
    const { words, filter, options, ...more } = prepareSandbox(sandbox, behind, descriptors);
    return { ...own, words: [...outer, ...words], inputs: [filter, options], ...more };
  } catch (error) {
    if (!(error instanceof SandboxFault)) throw error;
    throw notRun(error.message, error);
  }
}

/** The refusal of a command whose boundary could not be made, for the reason that is told. */
export function notRun(reason: string, cause: unknown): ProfileUnavailable {
  return new ProfileUnavailable(
    `Nothing was run: the profile of this token needs a sandbox, a user or limits for its commands, and ${reason}. Tell the owner of the server if it stays so.`,
    cause,
  );
}

/** Takes over environment and directory when it has become the user already, then the command. */
const ENTER = `eval "$(cat <&3)"; exec 3<&-
cd -- "$0" 2> /dev/null || { echo "agent3: the user of this profile cannot enter the working directory" >&2; exit 126; }
${markBeginning(4)}
exec "$@"`;

/** Throws `InvalidArguments` for a name that the shell before the command would not pass on. */
function requireNames(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(env)) {
    if (/^[A-Za-z_]\w*$/.test(name)) continue;
    throw new InvalidArguments(
      `env has the name ${JSON.stringify(name.slice(0, 60))}: in the profile of this token, names have letters, digits and _ only, and no digit first. Set it in the command instead: env 'NAME=VALUE' PROGRAM; define a function there.`,
    );
  }
}

const exportsOf = (env: Readonly<Record<string, string>>): Uint8Array =>
  Buffer.from(Object.entries(env).map(exportLine).join('\n'));
