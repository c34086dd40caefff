import { posix } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { ABSOLUTE_PATH, PATH_OR_HOME } from '../lib/limits.ts';
import { LOOK_USER } from '../lib/look-user.ts';
import { actionSchema, letsAllThrough, type Ruleset, ruleOf, ruleSchema } from '../rules/rule.ts';
import { ruleFaults } from '../rules/rule-faults.ts';
import { directoryFault } from './profile-directory.ts';
import { OWN, SECRETS } from './secret-paths.ts';

/** The operations that a profile can allow. */
export const OPERATIONS = [
  'shell',
  'look',
  'read_session',
  'list_sessions',
  'write_session',
  'kill_session',
  'close_session',
  'read_file',
  'write_file',
  'edit_file',
  'undo',
  'upload',
  'download',
  'server_info',
] as const;
export type OperationName = (typeof OPERATIONS)[number];

/** Further operations of a hub. */
export const FLEET_OPERATIONS = ['list_servers', 'run_on', 'read_run'] as const;

const absolute = (description: string) => Type.String({ pattern: ABSOLUTE_PATH, maxLength: 3000, description });
const hidden = Type.String({ pattern: PATH_OR_HOME, maxLength: 3000 });

/** The schema of a profile file. */
export const profileSchema = Type.Object(
  {
    extends: Type.Optional(
      Type.Union([Type.Literal('full'), Type.Literal('readonly'), Type.Literal('workspace')], {
        description: 'Built-in profile that it extends. Default: readonly.',
      }),
    ),
    description: Type.Optional(Type.String({ maxLength: 300, description: 'What the profile is for.' })),
    operations: Type.Optional(
      Type.Array(Type.Union([...OPERATIONS, ...FLEET_OPERATIONS].map((name) => Type.Literal(name))), {
        description: 'Operations that are allowed. Default: all.',
      }),
    ),
    user: Type.Optional(
      Type.String({
        pattern: '^[a-z_][a-z0-9_.-]{0,31}$',
        description:
          'User to run commands as, when the agent runs as root. Default: agent3-look in readonly, else the user of the agent.',
      }),
    ),
    directory: Type.Optional(absolute('Directory of a workspace: commands start there and may write to it.')),
    network: Type.Optional(Type.Boolean({ description: 'Whether commands may use the network of the machine.' })),
    hide: Type.Optional(
      Type.Array(hidden, {
        maxItems: 200,
        description: 'More paths to hide; ~/ is every home, * a part of a name.',
      }),
    ),
    show: Type.Optional(
      Type.Array(hidden, {
        maxItems: 200,
        description: 'Entries of the built-in list of secrets to show.',
      }),
    ),
    mask: Type.Optional(
      Type.Boolean({ description: 'Whether answers mask what looks like a secret. Default: true, but false in full.' }),
    ),
    notify: Type.Optional(
      Type.Array(Type.Literal('ended'), {
        maxItems: 1,
        description: 'Whether to notify the owner when a command ends that continued after its answer.',
      }),
    ),
    rules: Type.Optional(
      Type.Array(ruleSchema, {
        maxItems: 500,
        description: 'Rules for commands. The first rule that matches decides.',
      }),
    ),
    otherwise: Type.Optional(actionSchema),
    unreadable: Type.Optional(actionSchema),
    limits: Type.Optional(
      Type.Object(
        {
          exec_seconds: Type.Optional(
            Type.Number({
              minimum: 0.1,
              description: 'Time limit of a command without background: true, in seconds.',
            }),
          ),
          background_seconds: Type.Optional(
            Type.Number({ minimum: 0, description: 'Time limit of a background command, in seconds; 0 forbids them.' }),
          ),
          memory_mib: Type.Optional(Type.Integer({ minimum: 16, description: 'Memory limit of a command.' })),
          processes: Type.Optional(
            Type.Integer({ minimum: 4, description: 'Most processes and threads of a command.' }),
          ),
          cpu_percent: Type.Optional(
            Type.Integer({ minimum: 1, description: 'CPU limit of a command, in percent of one CPU.' }),
          ),
          cpu_weight: Type.Optional(
            Type.Integer({ minimum: 1, maximum: 10_000, description: 'Share of a busy CPU; other commands have 100.' }),
          ),
          io_weight: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 10_000,
              description: 'Share of a busy disk; other commands have 100.',
            }),
          ),
          running: Type.Optional(Type.Integer({ minimum: 1, description: 'Most commands at once.' })),
          file_mib: Type.Optional(Type.Integer({ minimum: 1, description: 'Largest file that a command may write.' })),
          core_mib: Type.Optional(Type.Integer({ minimum: 0, description: 'Largest core dump.' })),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

export type ProfileFile = Static<typeof profileSchema>;
type Limits = NonNullable<ProfileFile['limits']>;

export interface Profile {
  readonly name: string;
  readonly description: string;
  /** Undefined: all operations. */
  readonly operations: readonly string[] | undefined;
  /** The user that its file names; see `userOf`. */
  readonly user: string | undefined;
  /** Undefined: no sandbox. */
  readonly sandbox:
    | { readonly directory: string | undefined; readonly network: boolean; readonly hidden: readonly string[] }
    | undefined;
  readonly limits: Limits;
  /** Commands run as without a profile: no sandbox, user or limits. */
  readonly isPlain: boolean;
  /** Made by `look`: commands see processes, network and services of the machine, and change nothing. */
  readonly isLook: boolean;
  readonly rules: Ruleset;
  readonly hasRules: boolean;
  readonly mask: boolean;
  /** Whether to notify the owner when a background command ends. */
  readonly notifiesEnds: boolean;
  /** The content of its file, as JSON: equal for equal profiles. */
  readonly source: string;
}

const FULL: Profile = {
  name: 'full',
  description: 'Everything that the user of the agent may do.',
  operations: undefined,
  user: undefined,
  sandbox: undefined,
  limits: {},
  isPlain: true,
  isLook: false,
  rules: { rules: [], otherwise: 'allow', unreadable: 'confirm' },
  hasRules: false,
  mask: false,
  notifiesEnds: false,
  source: '',
};

const READONLY: Profile = {
  ...FULL,
  name: 'readonly',
  description: 'Reads everything but secrets, changes nothing, has no network.',
  sandbox: { directory: undefined, network: false, hidden: SECRETS },
  isPlain: false,
  mask: true,
};

/** The profiles that need no file. */
export const BUILT_IN: Readonly<Record<'full' | 'readonly' | 'workspace', Profile>> = {
  full: FULL,
  readonly: READONLY,
  workspace: {
    ...READONLY,
    name: 'workspace',
    description: 'Like readonly, with one writable directory.',
  },
};

/**
 * Returns the user that runs the commands of a profile; undefined for the user of the agent. For a read-only profile, an
 * agent that `isRoot` uses another user, so that the kernel protects the files of root.
 */
export function userOf({ user, sandbox }: Pick<Profile, 'user' | 'sandbox'>, isRoot: boolean): string | undefined {
  if (user !== undefined || !isRoot) return user;
  return sandbox !== undefined && sandbox.directory === undefined ? LOOK_USER : undefined;
}

/** Operations that change a file. */
const WRITES: readonly string[] = ['write_file', 'edit_file', 'undo', 'upload'];

/** Returns true when the commands and operations of a profile cannot change files. */
export const isReadOnly = ({ sandbox }: Profile): boolean => sandbox !== undefined && sandbox.directory === undefined;

/** Returns true when a token of a profile can use an operation: it is allowed, and not always refused. */
export function canUse(profile: Profile, operation: string): boolean {
  return profile.operations?.includes(operation) !== false && !(isReadOnly(profile) && WRITES.includes(operation));
}

const looks = new WeakMap<Profile, Profile>();

/**
 * Returns the profile for `look`: the sandbox of `readonly` without network, with masks and all limits of the profile. It
 * is the same object for the same profile. When the profile runs as root, it uses the user of `readonly`.
 */
export function lookProfile(profile: Profile): Profile {
  if (profile.isLook) return profile;
  const known = looks.get(profile);
  if (known !== undefined) return known;
  const { sandbox, user } = profile;
  const look: Profile = {
    ...profile,
    user: user === 'root' ? undefined : user,
    sandbox: { directory: undefined, network: false, hidden: sandbox?.hidden ?? SECRETS },
    isPlain: false,
    isLook: true,
    mask: true,
  };
  looks.set(profile, look);
  return look;
}

/** Makes a profile from its file and the built-in one that it extends. Returns sentences about faults otherwise. */
export function profileOf(name: string, file: ProfileFile): Profile | readonly string[] {
  const base = BUILT_IN[file.extends ?? 'readonly'];
  const faults = faultsOf(file, base);
  if (faults.length > 0) return faults;
  const { sandbox } = base;
  const { limits = {}, otherwise = 'allow', unreadable = 'confirm' } = file;
  const rules = { rules: (file.rules ?? []).map(ruleOf), otherwise, unreadable };
  return {
    name,
    description: file.description ?? describe(base, file),
    operations: file.operations ?? base.operations,
    user: file.user,
    sandbox: sandbox && {
      directory: file.directory,
      network: file.network ?? false,
      hidden: [...sandbox.hidden.filter((path) => file.show?.includes(path) !== true), ...(file.hide ?? [])],
    },
    limits,
    isLook: false,
    isPlain: sandbox === undefined && file.user === undefined && Object.keys(limits).length === 0,
    rules,
    hasRules: !letsAllThrough(rules),
    mask: file.mask ?? base.mask,
    notifiesEnds: file.notify?.includes('ended') === true,
    source: JSON.stringify(file),
  };
}

/** Describes a profile by its built-in one and its own limits. */
function describe({ description }: Profile, { rules = [], otherwise = 'allow', limits }: ProfileFile): string {
  const within = [
    ...(rules.length > 0 || otherwise !== 'allow' ? ['rules'] : []),
    ...(limits === undefined ? [] : ['limits']),
  ];
  return within.length === 0 ? description : `${description.slice(0, -1)}, within its ${within.join(' and ')}.`;
}

/** Directories of the programs, libraries and devices that every command needs. */
const NEEDED: readonly string[] = ['/', '/usr', '/usr/bin', '/usr/lib', '/usr/lib64', '/bin', '/lib', '/lib64', '/dev'];

function faultsOf(file: ProfileFile, base: Profile): string[] {
  const faults: string[] = [];
  if (base.name === 'workspace' && file.directory === undefined) {
    faults.push('a workspace needs a directory, such as directory = "/srv/app"');
  }
  if (base.name !== 'workspace' && file.directory !== undefined) {
    faults.push('directory needs extends = "workspace"');
  }
  const misplaced = file.directory === undefined ? undefined : directoryFault(file.directory);
  if (misplaced !== undefined) faults.push(misplaced);
  if (base.sandbox === undefined && (file.network ?? file.hide ?? file.show) !== undefined) {
    faults.push('network, hide and show need extends = "readonly" or "workspace"');
  }
  const needed = file.hide?.find((path) => NEEDED.includes(posix.resolve(path)));
  if (needed !== undefined) faults.push(`hide ${needed}: no command could run. Hide what is secret in it`);
  const own = file.show?.find((path) => OWN.includes(path));
  if (own !== undefined) faults.push(`show ${own}: the agent's own settings and records stay hidden`);
  const unknown = file.show?.find((path) => !SECRETS.includes(path));
  if (unknown !== undefined)
    faults.push(`show ${unknown}: it is not in the built-in list (agent3 profile list --hidden)`);
  return [...faults, ...(file.rules ?? []).flatMap((rule, index) => ruleFaults(`rule ${index + 1}`, rule))];
}
