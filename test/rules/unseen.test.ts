import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decided, ruleset } from './rulesets.ts';

const PAGE = readFileSync(join(import.meta.dir, '../../ops/docs/rules.md'), 'utf8');
const NO_RM = ruleset('allow', { action: 'deny', command: 'rm' });

describe('what the documents say that rules do not see, they do not', () => {
  const block = /```sh\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? '';
  const rows = block.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  test('and there are some', () => expect(rows.length).toBeGreaterThan(40));
  test.each(rows)('%s', (cmd) => {
    expect(decided(NO_RM, cmd).action).toBe('allow');
  });
});
