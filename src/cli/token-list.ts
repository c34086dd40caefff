import { readTokens, type TokenRecord } from '../access/token-file.ts';
import { grantsDirectory, lastUse } from '../connect/grant-state.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { ownerOf, sessionsHere, settingsHere, tokensFile } from './here.ts';
import { attempt, RESERVED, type TokenOptions } from './token-here.ts';

/** Prints what is known of every token, but not the token. */
export function listTokens(options: TokenOptions & { readonly json?: true | undefined }): void {
  const path = tokensFile(options.file);
  const tokens = attempt(() => readTokens(path, ownerOf(path)));
  if (options.json === true) {
    const known = tokens.map(({ sha256: _, previous, grant, ...token }) => ({
      ...token,
      previous_until: lastOf(previous),
      ...(grant !== undefined && { grant: grantOf(grant, token.id) }),
    }));
    const usual = profileOfDefault(options);
    const first = usual === undefined ? [] : [{ name: RESERVED, profile: usual, expires_at: null, ips: [] }];
    process.stdout.write(`${visibleJson([...first, ...known])}\n`);
    return;
  }
  if (tokens.length === 0) process.stderr.write('no tokens but the one of the settings\n');
  for (const row of [...defaultRow(options), ...tokens.map(rowOf)]) process.stdout.write(`${row}\n`);
}

/** The profile of the token of the settings; undefined where they have none or cannot be read. */
function profileOfDefault({ file }: TokenOptions): string | undefined {
  if (file !== undefined) return undefined;
  const settings = settingsHere();
  return settings['AGENT3_API_TOKEN'] ? settings['AGENT3_PROFILE'] || 'full' : undefined;
}

function defaultRow(options: TokenOptions): string[] {
  const profile = profileOfDefault(options);
  if (profile === undefined) return [];
  return [`${RESERVED.padEnd(24)}  ${visibleLine(profile.padEnd(10))}  AGENT3_API_TOKEN of the settings`];
}

/** Names and profiles are small letters; the addresses are what somebody wrote into the file. */
function rowOf({ name, id, profile = 'full', created_at, expires_at, ips, previous, grant }: TokenRecord): string {
  const until = expires_at === null ? 'no end' : `${expires_at < Date.now() ? 'ended' : 'until'} ${day(expires_at)}`;
  const before = lastOf(previous);
  return [
    name.padEnd(24),
    profile.padEnd(10),
    `since ${day(created_at)}`,
    until.padEnd(26),
    grant === undefined ? describePlaces(ips) : describeGrant(grant, id),
    ...(before !== null && before > Date.now() ? [`the one before until ${day(before)}`] : []),
  ].join('  ');
}

/** When the last of the earlier tokens ends; null where there are none. */
function lastOf(previous: TokenRecord['previous'] = []): number | null {
  return previous.length === 0 ? null : Math.max(...previous.map(({ until }) => until));
}

function day(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function describePlaces(ips: readonly string[]): string {
  return ips.length === 0 ? 'from everywhere' : `from ${visibleLine(ips.join(', '))}`;
}

type Grant = NonNullable<TokenRecord['grant']>;

/** What is known of a grant: its client, and when that came last; null: never, or nobody here may know. */
function grantOf({ client, code_expires_at }: Grant, id: string) {
  const used = lastUse(grantsDirectory(sessionsHere()), id);
  return { client, last_used_at: used === undefined ? null : Math.round(used), code_expires_at };
}

function describeGrant(grant: Grant, id: string): string {
  const { client, last_used_at, code_expires_at } = grantOf(grant, id);
  if (last_used_at !== null) return `${client}, last used ${day(last_used_at)}`;
  return `${client}, ${code_expires_at > Date.now() ? 'its code waits' : 'never used'}`;
}
