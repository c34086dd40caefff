import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { KindGuard, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeMismatch } from '../lib/describe-schema.ts';
import { describeErrno, errnoOf, NotAFile } from '../lib/errors.ts';
import { ownerFault, ownershipFault, readRegular, writableFault } from '../lib/files.ts';
import { withReserve } from '../linux/open-files.ts';
import { BUILT_IN, type Profile, profileOf, profileSchema } from './profile.ts';

/** A profile file, or the directory of them, that cannot be used. */
export interface FaultyFile {
  readonly path: string;
  /** The profile that is missing for it; undefined for all in the directory. */
  readonly name: string | undefined;
  readonly faults: readonly string[];
}

/** The usable profiles, and the files with faults. */
export interface ProfileSet {
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly faulty: readonly FaultyFile[];
}

type FaultAt = (path: string) => string | undefined;

/**
 * Reads the built-in profiles and those of `directory`; without one, only the built-in ones. A file with faults affects
 * only its own profile. `own` is the user of the agent, when that is not the user of this process.
 */
export function readProfiles(
  directory: string | undefined,
  faultAt: FaultAt = () => undefined,
  own?: number,
): ProfileSet {
  const { full, readonly } = BUILT_IN;
  const profiles = new Map<string, Profile>([
    ['full', full],
    ['readonly', readonly],
  ]);
  const faulty: FaultyFile[] = [];
  const files = directory === undefined ? [] : listProfileFiles(directory, faultAt, own);
  if (!Array.isArray(files)) return { profiles, faulty: [files] };
  for (const file of files) {
    const path = join(directory ?? '', file);
    const name = file.replace(ENDING, '');
    const twin = files.find((other) => other !== file && other.replace(ENDING, '') === name);
    // It is not clear which of the two is meant.
    const read =
      twin === undefined ? readTrusted(path, faultAt, own) : [`${twin} is for the same profile: remove one of the two`];
    if ('name' in read) profiles.set(read.name, read);
    else faulty.push({ path, name, faults: read });
  }
  return { profiles, faulty };
}

/** Reads a trusted file: write access to a profile is access to everything that it allows. */
function readTrusted(path: string, faultAt: FaultAt, own: number | undefined): Profile | readonly string[] {
  try {
    const fault = ownerFault(path, own) ?? faultAt(path);
    return fault === undefined ? readProfile(path) : [fault];
  } catch (error) {
    return [unread(error)];
  }
}

function unread(error: unknown): string {
  return `it cannot be read: ${describeErrno(error)}`;
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const ENDING = /\.(?:toml|json)$/;
/** Reported too, because its author thinks that it is used. */
const OTHER_ENDING = /\.(?:ya?ml|tml|tom|conf|cfg|ini|txt|json5|jsonc)$|\.(?:toml|json)$/i;

/** Returns the profile in a file, or its faults, a sentence each. */
export function readProfile(path: string): Profile | readonly string[] {
  if (!ENDING.test(path)) return ['the name of a profile file must end with .toml or .json'];
  const name = path.slice(path.lastIndexOf('/') + 1).replace(ENDING, '');
  if (!NAME.test(name))
    return ['the name of a profile has up to 64 lower-case letters and digits, with _ - between them'];
  if (name === BUILT_IN.full.name || name === BUILT_IN.readonly.name)
    return [`${name} is the name of a built-in profile: rename the file, and write extends = "${name}" in it`];
  let value: unknown;
  try {
    const fault = writableFault(path);
    if (fault !== undefined) return [fault];
    const text = withReserve(() => readRegular(path).toString('utf8'));
    value = path.endsWith('.json') ? JSON.parse(text) : parseToml(text);
  } catch (error) {
    if (error instanceof NotAFile || errnoOf(error)?.startsWith('E') === true) return [unread(error)];
    return [`it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`];
  }
  if (!Value.Check(profileSchema, value)) return schemaFaults(value);
  return profileOf(name, value);
}

/** Parses TOML. Throws with the line of the error, which Bun's parser does not report. */
function parseToml(text: string): unknown {
  try {
    return Bun.TOML.parse(text);
  } catch (error) {
    const lines = text.split('\n');
    let good = lines.length - 1;
    while (good > 0 && !isToml(lines.slice(0, good).join('\n'))) good--;
    throw new Error(`line ${good + 1}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function isToml(text: string): boolean {
  try {
    Bun.TOML.parse(text);
    return true;
  } catch {
    return false;
  }
}

export function listProfileFiles(
  directory: string,
  faultAt: FaultAt = () => undefined,
  own?: number,
): string[] | FaultyFile {
  try {
    const names = withReserve(() => readdirSync(directory)).sort();
    const fault = ownershipFault(directory, own) ?? faultAt(directory);
    if (fault === undefined) return names.filter((name) => OTHER_ENDING.test(name));
    return { path: directory, name: undefined, faults: [fault] };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    return { path: directory, name: undefined, faults: [unread(error)] };
  }
}

/** Returns why a profile is missing, with the path of its file before each sentence; empty when it is not, or has no file. */
export function faultsOf({ profiles, faulty }: ProfileSet, name: string): string[] {
  if (profiles.has(name)) return [];
  return faulty.filter((file) => file.name === undefined || file.name === name).flatMap(describeFileFaults);
}

/** Returns the faults of a file, each with its path. */
export function describeFileFaults({ path, faults }: FaultyFile): string[] {
  return faults.map((fault) => `${path}: ${fault}`);
}

/** Returns where a file does not match the schema of profiles, a sentence each. */
function schemaFaults(value: unknown): string[] {
  const faults = new Map<string, string>();
  for (const { path, message, schema, value: given } of Value.Errors(profileSchema, value)) {
    if (faults.has(path)) continue;
    const keys = path.split('/').slice(1);
    const isUnknown = /unexpected property/i.test(message);
    faults.set(path, isUnknown ? unknownKey(keys) : wrongValue(keys, schema, given));
  }
  return [...faults.values()];
}

/** Names a place in a profile: a rule by its number from 1 with the field, everything else by its keys. */
function nameOf(keys: readonly string[]): { readonly before: string; readonly name: string } {
  const [table, index, ...rest] = keys;
  if (table !== 'rules' || index === undefined) return { before: '', name: keys.join('.') || 'the file' };
  const rule = `rule ${Number(index) + 1}`;
  return rest.length === 0 ? { before: '', name: rule } : { before: `${rule}: `, name: rest.join('.') };
}

function unknownKey(keys: readonly string[]): string {
  const table = keys.slice(0, -1);
  const { properties = {} } = schemaAt(table) as { properties?: Record<string, TSchema> };
  const subject = table.length === 0 ? 'a profile' : table[0] === 'rules' ? 'a rule' : table.join('.');
  const { before, name } = nameOf(keys);
  return `${before}there is no ${name}; ${subject} has ${Object.keys(properties).join(', ')}`;
}

function schemaAt(keys: readonly string[]): TSchema {
  let schema: TSchema = profileSchema;
  for (const key of keys) {
    const inner: TSchema | undefined = KindGuard.IsArray(schema) ? schema.items : schema['properties']?.[key];
    if (inner === undefined) return schema;
    schema = inner;
  }
  return schema;
}

function wrongValue(keys: readonly string[], schema: TSchema, given: unknown): string {
  const { before, name } = nameOf(keys);
  const fault = `${before}${name} ${describeMismatch(schema, given)}`;
  const isTable = typeof given === 'object' && given !== null && !Array.isArray(given);
  if (name === 'rules' && isTable) return `${fault}: write [[rules]] above each rule`;
  if (name === 'limits' && Array.isArray(given)) return `${fault}: write [limits]`;
  return fault;
}
