import { hostname } from 'node:os';
import { GrantKey, takesSignIns } from '../access/grant.ts';
import type { KeyRing } from '../access/key-ring.ts';
import { Strangers } from '../connect/deps.ts';
import { ConnectDoor } from '../connect/door.ts';
import { grantsDirectory } from '../connect/grant-state.ts';
import { Grants } from '../connect/grants.ts';
import { GrantTokens } from '../connect/tokens.ts';
import type { GuessingLimiter, MoreTokens } from '../http/auth.ts';
import type { SignInDoor } from '../http/sign-in.ts';
import { visibleLine } from '../lib/visible.ts';
import type { Deps } from './deps.ts';
import type { Job } from './jobs.ts';

/** The sign-in of clients, when it is on. */
export interface SignIn {
  /** Checks the access tokens of grants. */
  readonly tokens: MoreTokens;
  readonly jobs: readonly Job[];
  door(guessing: GuessingLimiter): SignInDoor;
}

/** Every second: records what the owner does, even without calls. */
const LOOK_TIME = '* * * * * *';
/** Every full minute. */
const SWEEP_TIME = '0 * * * * *';

/** Opens the grants; undefined when clients cannot sign in with these settings. */
export function openSignIn(
  { config, trail, clock, logger, notifications }: Deps,
  keys: KeyRing | undefined,
): SignIn | undefined {
  const { publicUrl: issuer, grantKey, sessionsDirectory, auditFile } = config;
  if (issuer === undefined) return undefined;
  const missing = missingFor(issuer, grantKey, keys);
  if (missing !== undefined || grantKey === undefined || keys === undefined) {
    logger.info({ missing }, 'clients cannot sign in at AGENT3_PUBLIC_URL');
    return undefined;
  }
  const key = new GrantKey(grantKey);
  const grants = new Grants({
    keys,
    key,
    directory: grantsDirectory(sessionsDirectory),
    auditFile,
    trail,
    clock,
    logger,
    alarm: ({ name, grant }, why) =>
      notifications.send('grant.ended', { host: hostname(), token: name, client: grant.client, why: visibleLine(why) }),
  });
  const tokens = new GrantTokens(grants);
  const strangers = new Strangers();
  return {
    tokens,
    jobs: [
      { name: 'look-at-grants', cronTime: LOOK_TIME, run: async () => void grants.openCodes() },
      {
        name: 'sweep-grants',
        cronTime: SWEEP_TIME,
        run: async () => {
          grants.sweep();
          const counts = strangers.take();
          if (counts !== undefined) trail.agent('strangers at the sign-in', counts);
        },
      },
    ],
    door: (guessing) => new ConnectDoor({ issuer, key, grants, tokens, guessing, clock, strangers }),
  };
}

function missingFor(publicUrl: string, grantKey: string | undefined, keys: KeyRing | undefined): string | undefined {
  if (!takesSignIns(publicUrl)) return 'an https URL';
  if (grantKey === undefined) return 'AGENT3_GRANT_KEY';
  return keys === undefined ? 'AGENT3_TOKENS_FILE' : undefined;
}
