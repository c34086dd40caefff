import { describe, expect, test } from 'bun:test';
import { OPERATIONS } from '../../src/access/profile.ts';
import { instructionsFor } from '../../src/operations/instructions.ts';

/** Every operation of this release, whether this build has it or not. */
const ALL = [
  ...new Set([...OPERATIONS, 'look', 'read_file', 'write_file', 'edit_file', 'undo', 'upload', 'download']),
] as const;

/** The operations that a text names. */
const namesIn = (text: string): readonly string[] => ALL.filter((name) => new RegExp(`\\b${name}\\b`).test(text));

describe('the instructions', () => {
  test('are short, whatever is offered', () => {
    expect(instructionsFor(ALL).length).toBeLessThanOrEqual(2200);
    expect(instructionsFor(OPERATIONS).length).toBeLessThanOrEqual(2200);
  });

  test('name no operation that is not offered', () => {
    for (const missing of ALL) {
      // A verb, or what is always there.
      if (['shell', 'look'].includes(missing)) continue;
      const offered = ALL.filter((name) => name !== missing);
      expect(namesIn(instructionsFor(offered))).not.toContain(missing);
    }
  });

  test('say how to write a file, with or without operations for it', () => {
    expect(instructionsFor(['shell'])).toContain('cat > /path');
    expect(instructionsFor(ALL)).not.toContain('cat > /path');
    expect(instructionsFor(ALL)).toContain('write_file');
  });

  test('name look where it is offered', () => {
    expect(instructionsFor(ALL)).toContain('look instead of shell');
    expect(instructionsFor(['shell'])).not.toContain('look instead');
  });
});
