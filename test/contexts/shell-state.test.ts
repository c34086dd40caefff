import { describe, expect, test } from 'bun:test';
import { changesOf, parseStates } from '../../src/contexts/shell-state.ts';

/** A state file with one state in it. */
const file = (...records: string[]): string => ['[', ...records, ']', ''].join('\0');
const variablesIn = (text: string): string[] => [...(parseStates(file(`v${text}`))[0]?.variables.keys() ?? [])];

describe('a state', () => {
  test.each([
    'declare -- x="plain"',
    'declare -x x=""',
    'declare -- x="a \\"b\\" \\$HOME \\`c\\` \\\\"',
    "declare -- x=$'\\t\\'\\377'",
    'declare -a x=()',
    'declare -a x=([0]="a" [7]=$\'\\n\')',
    'declare -A x=([k]="v" ["a b"]="c" [$\'\\n\']="d" )',
    'declare -ai x',
  ])('has the variable of %j', (text) => expect(variablesIn(`${text}\n`)).toEqual(['x']));

  test.each([
    'declare -- x="$(id)"',
    'declare -- x="`id`"',
    'declare -- x="a"; id',
    'declare -- x="a"\nid',
    'declare -- x=a$(id)',
    'declare -- x="a',
    "declare -- x=$'a",
    'declare -a x=([0]="a" $(id))',
    'declare -a x=([a[$(id)]]="a")',
    'declare -a x=([i]="a")',
    'declare -A x=(["$(id)"]="a" )',
    'declare -A x=([$(id)]="a" )',
    'declare -A x=([a]=$(id) )',
    'declare -a x=([0]="a"); id',
    'id #declare -- x="a"',
    'declare -- x+="a"',
    'declare -- 1x="a"',
    'export x="a"',
  ])('leaves out what does more than set a variable: %j', (text) => expect(variablesIn(`${text}\n`)).toEqual([]));

  test('is read in bounded time, whatever a command has put there', () => {
    for (const text of ['\\"'.repeat(400_000), '$'.repeat(800_000), '"'.repeat(800_000)])
      expect(variablesIn(`declare -- x="${text}"\n`)).toEqual(text.startsWith('\\') ? ['x'] : []);
    expect(variablesIn(`declare -A x=(${'["a"]="b" '.repeat(80_000)})\n`)).toEqual(['x']);
  });

  test('has no more options than bash, however many lines a command has put there', () => {
    const lines = Array.from({ length: 40_000 }, (_, index) => `set -o a${index}\n`).join('');
    expect(parseStates(file(`o${lines}`))[0]?.options.size).toBeLessThan(300);
    const twice = parseStates(file('oset -o errexit\nset +o errexit\nshopt -s errexit\n'))[0]?.options;
    expect([...(twice?.values() ?? [])]).toEqual(['set +o errexit', 'shopt -s errexit']);
  });

  test('is the first or the last one, however many a command has put there', () => {
    const text = `${file('d/first')}${'[\0]\0'.repeat(200_000)}${file('d/last')}`;
    expect(parseStates(text).map(({ cwd }) => cwd)).toEqual(['/first', '/last']);
  });

  test('is complete, or not there', () => {
    expect(parseStates('[\0d/usr\0vdeclare -- x="1"\n\0')).toEqual([]);
    expect(parseStates(`${file('d/')}[\0d/usr\0`).map(({ cwd }) => cwd)).toEqual(['/']);
    expect(parseStates('')).toEqual([]);
  });

  test('has the options, aliases and functions that bash prints, by name', () => {
    const [state] = parseStates(
      file(
        'oset -o errexit\nshopt -s extglob\nid\nset -o x; id\n',
        "aalias ll='ls '\\''x'\\'''\n",
        "aalias b='x'; id\n",
        'ff () \n{ \n    :\n}\n',
        'xdeclare -fx f',
        'xdeclare -fx f; id',
      ),
    );
    expect([...(state?.options.values() ?? [])]).toEqual(['set -o errexit', 'shopt -s extglob']);
    expect([...(state?.aliases.keys() ?? [])]).toEqual(['ll']);
    expect([...(state?.functions.keys() ?? [])]).toEqual(['f']);
    expect([...(state?.attributes.values() ?? [])]).toEqual(['declare -fx f']);
  });
});

describe('what changes', () => {
  const state = (...records: string[]) => parseStates(file(...records))[0] ?? expect.unreachable();
  const fresh = state(
    'vdeclare -x PATH="/bin"\n',
    'vdeclare -x GONE="1"\n',
    'vdeclare -x GIVEN="call"\n',
    'oset +o errexit\nshopt -u extglob\n',
  );

  test('is what a fresh shell has not, and what it has more', () => {
    const last = state(
      'vdeclare -x PATH="/bin"\n',
      'vdeclare -x GIVEN="call"\n',
      'vdeclare -- x="1"\n',
      'vdeclare -i SECONDS="9"\n',
      'oset -o errexit\nshopt -u extglob\n',
    );
    expect(changesOf(fresh, last).map(({ text }) => text)).toEqual([
      'declare -- x="1"',
      'unset -v GONE',
      'set -o errexit',
    ]);
  });

  test('is not what the call itself gave: that stays as it was before', () => {
    const before = [{ kind: 'variable', name: 'GIVEN', text: 'declare -- GIVEN="old"' } as const];
    const given = new Set(['GIVEN']);
    const kept = changesOf(fresh, fresh, before, given).map(({ text }) => text);
    expect(kept).toEqual(['declare -- GIVEN="old"']);
    const changed = state('vdeclare -x PATH="/bin"\n', 'vdeclare -x GONE="1"\n', 'vdeclare -x GIVEN="new"\n');
    expect(changesOf(fresh, changed, before, given).map(({ text }) => text)).toEqual(['declare -x GIVEN="new"']);
    const unset = state('vdeclare -x PATH="/bin"\n', 'vdeclare -x GONE="1"\n');
    expect(changesOf(fresh, unset, before, given).map(({ text }) => text)).toEqual(['declare -- GIVEN="old"']);
  });
});
