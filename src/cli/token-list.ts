import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { answerDueAt, GrantKey, type GrantRecord, isGrant, isKept, isSealed } from '../access/grant.ts';
import { RESERVED, readTokens, type TokenRecord } from '../access/token-file.ts';
import { type GrantState, grantsDirectory, lastUse, readState } from '../connect/grant-state.ts';
import { makerOf } from '../console/signed-tokens.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { ownerOf, sessionsHere, settingsHere, tokensFile } from './here.ts';
import { attempt, type TokenOptions } from './token-here.ts';

/** Prints the tokens, without their secrets. */
export function listTokens(options: TokenOptions & { readonly json?: true | undefined }): void {
  const path = tokensFile(options.file);
  const tokens = attempt(() => readTokens(path, ownerOf(path)));
  if (options.json === true) {
    const known = tokens.map((token) => {
      const { sha256: _, previous, grant: __, signed: ___, ...shown } = token;
      const made_by = makerOf(token);
      return {
        ...shown,
        ...(made_by !== undefined && { made_by }),
        previous_until: lastOf(previous),
        ...(isGrant(token) && { grant: grantOf(token) }),
      };
    });
    const usual = profileOfDefault(options);
    const first = usual === undefined ? [] : [{ name: RESERVED, profile: usual, expires_at: null, ips: [] }];
    process.stdout.write(`${visibleJson([...first, ...known])}\n`);
    return;
  }
  if (tokens.length === 0) process.stderr.write('there is only the token of the settings\n');
  for (const row of [...defaultRow(options), ...tokens.map(rowOf)]) process.stdout.write(`${row}\n`);
}

/** Returns the profile of the token of the settings; undefined without that token, or when they cannot be read. */
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

/** Formats a token. Names and profiles are plain; addresses are whatever was written into the file. */
function rowOf(token: TokenRecord): string {
  const { name, profile = 'full', created_at, expires_at, ips, previous } = token;
  const until = expires_at === null ? 'no end' : `${expires_at < Date.now() ? 'ended' : 'until'} ${day(expires_at)}`;
  const before = lastOf(previous);
  const maker = makerOf(token);
  return [
    name.padEnd(24),
    profile.padEnd(10),
    `since ${day(created_at)}`,
    until.padEnd(26),
    isGrant(token) ? describeGrant(token) : describePlaces(ips),
    ...(maker === undefined ? [] : [`made by ${visibleLine(maker)}`]),
    ...(before !== null && before > Date.now() ? [`its old token until ${day(before)}`] : []),
  ].join('  ');
}

/** Returns when the last of the earlier tokens ends; null without any. */
function lastOf(previous: TokenRecord['previous'] = []): number | null {
  return previous.length === 0 ? null : Math.max(...previous.map(({ until }) => until));
}

function day(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function describePlaces(ips: readonly string[]): string {
  return ips.length === 0 ? 'from anywhere' : `from ${visibleLine(ips.join(', '))}`;
}

/** Returns the client and the state of a grant, as far as this user may read them. */
function grantOf(record: GrantRecord) {
  const { client, code_expires_at } = record.grant;
  const state = stateOf(record);
  const used = lastUse(grantsDirectory(sessionsHere()), record.id);
  return {
    client,
    code_expires_at,
    last_used_at: used === undefined || state?.generation === 0 ? null : Math.round(used),
    ...(state !== undefined && { redirect: state.redirect_uri, ended: state.ended }),
  };
}

function stateOf(record: GrantRecord): GrantState | undefined {
  const key = settingsHere()['AGENT3_GRANT_KEY'];
  if (!key) return undefined;
  try {
    const state = readState(grantsDirectory(sessionsHere()), new GrantKey(key), record);
    return typeof state === 'string' ? undefined : state;
  } catch {
    // Another user owns the directory.
    return undefined;
  }
}

function describeGrant(record: GrantRecord): string {
  return `${record.grant.client}, ${standingOf(record)}`;
}

/** Returns true when an agent has used the sessions directory, or when this user cannot read it. */
function hasAgent(): boolean {
  try {
    return statSync(join(sessionsHere(), '.lock'), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/** Describes the state of a grant. */
function standingOf(record: GrantRecord): string {
  const { last_used_at, code_expires_at, ended } = grantOf(record);
  const secret = settingsHere()['AGENT3_GRANT_KEY'];
  const key = secret ? new GrantKey(secret) : undefined;
  const now = Date.now();
  if (!hasAgent()) return `state unknown: no agent uses ${visibleLine(resolve(sessionsHere()))} (AGENT3_SESSIONS_DIR)`;
  if (key !== undefined && !isSealed(key, record)) return 'not used (made with another AGENT3_GRANT_KEY)';
  if (ended) return `ended: ${visibleLine(ended)}`;
  if (key !== undefined && last_used_at === null) {
    const until = stateOf(record)?.code_until ?? code_expires_at;
    return now < until
      ? until === code_expires_at
        ? 'waits for its code'
        : 'waits for its client'
      : 'never connected';
  }
  if (key !== undefined && !isKept(key, record))
    return now < answerDueAt(record) ? 'waits for your answer' : 'ended: you did not keep it';
  if (last_used_at !== null) return `last used ${day(last_used_at)}`;
  return code_expires_at > now ? 'waits for its code' : 'never used';
}
