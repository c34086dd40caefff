import { expect, test } from 'bun:test';
import { type Profile, profileOf } from '../../src/access/profile.ts';
import type { CallContext, OperationDeps } from '../../src/calls/context.ts';
import type { NewCommand } from '../../src/commands/command.ts';
import { underAllowances } from '../../src/operations/allowed.ts';
import { decide } from '../../src/rules/decide.ts';

const profile = profileOf('careful', { extends: 'full', rules: [{ action: 'confirm', command: 'rm' }] }) as Profile;

/** What is offered to a person who is asked about a command of a principal. */
async function offerTo(principal: string, more: Partial<Profile> = {}, command: Partial<NewCommand> = {}) {
  const asked = { cmd: 'rm x', cwd: '/srv', env: {}, stdin: '', input: 'closed', ...command } as NewCommand;
  const proposal = { ...asked, shell: '/bin/bash', isOpen: false };
  const deps = { allowances: { of: () => [] } } as unknown as OperationDeps;
  const context = { principal, profile: { ...profile, ...more } } as CallContext;
  const decision = decide(profile.rules, proposal);
  return (await underAllowances(deps, context, { command: asked, decision }, proposal)).decision.allowable;
}

test('the rule of a token can be allowed, with or without an id, also of one of a hub', async () => {
  for (const principal of ['default', 'helper#0123abcd', 'hub/default', 'hub/helper#0123abcd'])
    expect(await offerTo(principal)).toMatchObject({ rule: 1, words: 'confirm command rm', cwd: '/srv' });
});

test('not that of look, nor of a call that brings more than its command', async () => {
  expect(await offerTo('default', { isLook: true })).toBeUndefined();
  expect(await offerTo('default', {}, { dialog: [] })).toBeUndefined();
  expect(await offerTo('default', {}, { cmd: 'rm x\u202e' })).toBeUndefined();
});
