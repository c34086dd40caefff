import { type Static, Type } from '@sinclair/typebox';
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

/** Those that a hub has as well. */
export const FLEET_OPERATIONS = ['list_servers', 'run_on', 'read_run'] as const;

const absolute = (description: string) => Type.String({ pattern: '^/', maxLength: 3000, description });

/** What a file of a profile may say. */
export const profileSchema = Type.Object(
  {
    extends: Type.Optional(
      Type.Union([Type.Literal('full'), Type.Literal('readonly'), Type.Literal('workspace')], {
        description: 'Built-in profile to begin with. Default: readonly.',
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
    directory: Type.Optional(absolute('The directory that commands of a workspace may write to, and begin in.')),
    network: Type.Optional(Type.Boolean({ description: 'Whether commands have the network of the machine.' })),
    hide: Type.Optional(
      Type.Array(Type.String({ pattern: '^(/|~/)', maxLength: 3000 }), {
        maxItems: 200,
        description: 'Paths that are hidden as well; ~/ stands for every home, * for part of a name.',
      }),
    ),
    show: Type.Optional(
      Type.Array(Type.String({ pattern: '^(/|~/)', maxLength: 3000 }), {
        maxItems: 200,
        description: 'Entries of the built-in list of secrets that are not hidden.',
      }),
    ),
    mask: Type.Optional(
      Type.Boolean({ description: 'Whether what looks like a secret is masked in answers. Default: not in full.' }),
    ),
    notify: Type.Optional(
      Type.Array(Type.Literal('ended'), {
        maxItems: 1,
        description: 'The owner is notified when a command has ended that continued after its answer.',
      }),
    ),
    rules: Type.Optional(
      Type.Array(ruleSchema, {
        maxItems: 500,
        description: 'Rules for commands; the first that is about one decides.',
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
              description: 'Time limit of a command that is not sent with background: true.',
            }),
          ),
          background_seconds: Type.Optional(
            Type.Number({ minimum: 0, description: 'Time limit of any other command; 0 forbids the background.' }),
          ),
          memory_mib: Type.Optional(Type.Integer({ minimum: 16, description: 'Memory of a command.' })),
          processes: Type.Optional(Type.Integer({ minimum: 4, description: 'Processes and threads of a command.' })),
          cpu_percent: Type.Optional(Type.Integer({ minimum: 1, description: 'Of one CPU.' })),
          cpu_weight: Type.Optional(
            Type.Integer({ minimum: 1, maximum: 10_000, description: 'Share of a busy CPU; others have 100.' }),
          ),
          io_weight: Type.Optional(
            Type.Integer({ minimum: 1, maximum: 10_000, description: 'Share of a busy disk; others have 100.' }),
          ),
          running: Type.Optional(Type.Integer({ minimum: 1, description: 'Commands at once.' })),
          file_mib: Type.Optional(Type.Integer({ minimum: 1, description: 'Size of a file that a command writes.' })),
          core_mib: Type.Optional(Type.Integer({ minimum: 0, description: 'Size of a core dump.' })),
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
  /** Undefined: every one. */
  readonly operations: readonly string[] | undefined;
  /** What its file names: see `userOf`. */
  readonly user: string | undefined;
  /** Undefined: no sandbox. */
  readonly sandbox:
    | { readonly directory: string | undefined; readonly network: boolean; readonly hidden: readonly string[] }
    | undefined;
  readonly limits: Limits;
  /** Commands run as they would without a profile: no sandbox, no user, no limits. */
  readonly isPlain: boolean;
  /** It is what `look` makes of a profile: commands see processes, network and services of the machine, and change nothing. */
  readonly isLook: boolean;
  readonly rules: Ruleset;
  readonly hasRules: boolean;
  readonly mask: boolean;
  /** The owner is notified when a command of it has ended in the background. */
  readonly notifiesEnds: boolean;
  /** What its file states, as JSON: the same as long as it is the same profile. */
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
  description: 'Looks at everything but secrets, changes nothing, has no network.',
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
    description: 'As readonly, with one directory that may be written to.',
  },
};

/**
 * The user that runs the commands of a profile; undefined for that of the agent. Where nothing may be written to, an
 * agent that `isRoot` has another one for it: the kernel then keeps from it what is root's own, without a list.
 */
export function userOf({ user, sandbox }: Pick<Profile, 'user' | 'sandbox'>, isRoot: boolean): string | undefined {
  if (user !== undefined || !isRoot) return user;
  return sandbox !== undefined && sandbox.directory === undefined ? LOOK_USER : undefined;
}

/** What changes a file: of no use where no file may be changed. */
const WRITES: readonly string[] = ['write_file', 'edit_file', 'undo', 'upload'];

/** Whether the commands and operations of a profile can change no file. */
export const isReadOnly = ({ sandbox }: Profile): boolean => sandbox !== undefined && sandbox.directory === undefined;

/** Whether an operation is of use to a token of a profile: it is allowed, and not refused every time. */
export function canUse(profile: Profile, operation: string): boolean {
  return profile.operations?.includes(operation) !== false && !(isReadOnly(profile) && WRITES.includes(operation));
}

const looks = new WeakMap<Profile, Profile>();

/**
 * What `look` makes of a profile, the same object for the same profile: the sandbox of `readonly` without network, masks,
 * and all that the profile narrows. Of users, root is no narrower than what `readonly` runs as.
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

/** A profile as its file states it, on top of the built-in one it extends; or why it cannot be, in sentences. */
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

/** What the built-in profile says, with what holds beside it. */
function describe({ description }: Profile, { rules = [], otherwise = 'allow', limits }: ProfileFile): string {
  const within = [
    ...(rules.length > 0 || otherwise !== 'allow' ? ['rules'] : []),
    ...(limits === undefined ? [] : ['limits']),
  ];
  return within.length === 0 ? description : `${description.slice(0, -1)}, within its ${within.join(' and ')}.`;
}

function faultsOf(file: ProfileFile, base: Profile): string[] {
  const faults: string[] = [];
  if (base.name === 'workspace' && file.directory === undefined) {
    faults.push('a workspace needs its directory: directory = "/srv/app"');
  }
  if (base.name !== 'workspace' && file.directory !== undefined) {
    faults.push('directory belongs to extends = "workspace"');
  }
  const misplaced = file.directory === undefined ? undefined : directoryFault(file.directory);
  if (misplaced !== undefined) faults.push(misplaced);
  if (base.sandbox === undefined && (file.network ?? file.hide ?? file.show) !== undefined) {
    faults.push('network, hide and show belong to extends = "readonly" or "workspace"');
  }
  const own = file.show?.find((path) => OWN.includes(path));
  if (own !== undefined) faults.push(`show ${own}: these are the agent's own settings and records, which stay hidden`);
  const unknown = file.show?.find((path) => !SECRETS.includes(path));
  if (unknown !== undefined)
    faults.push(`show ${unknown}: this is no entry of the built-in list (agent3 profile list --hidden)`);
  return [...faults, ...(file.rules ?? []).flatMap((rule, index) => ruleFaults(`rule ${index + 1}`, rule))];
}
