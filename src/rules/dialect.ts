import type { SyntaxNode } from 'unbash';
import { textOf } from './words.ts';

/** Shells that the parser speaks for, or nearly so. */
const POSIX = /^(?:sh|dash|ash)$/;

/** Why a shell may read something otherwise than the parser; undefined: it does not. */
export function otherwiseRead(shell: string, node: SyntaxNode, source: string): string | undefined {
  if (shell === 'bash' || !isOnlyOfBash(node, source)) return undefined;
  return `${shell} reads it otherwise than bash would`;
}

/** Why no script of a shell can be read; undefined: it can. */
export function unspoken(shell: string): string | undefined {
  return shell === 'bash' || POSIX.test(shell) ? undefined : `${shell} is a shell that rules cannot read`;
}

/** What only bash knows, or reads otherwise than other shells. */
const ONLY_BASH: ReadonlySet<string> = new Set([
  'ArithmeticCommand',
  'ArithmeticFor',
  'TestCommand',
  'ProcessSubstitution',
  'AnsiCQuoted',
  'LocaleString',
  'BraceExpansion',
  'ExtendedGlob',
  'HereString',
  'Coproc',
  'Select',
  'ArrayValue',
  'FileDescriptorVariable',
  'Replace',
  'Slice',
  'CaseModification',
  'Transform',
  'Names',
  'Unknown',
]);

function isOnlyOfBash(node: SyntaxNode, source: string): boolean {
  if (ONLY_BASH.has(node.type)) return true;
  switch (node.type) {
    case 'Command':
      // What is assigned there splits like any word.
      return node.args.some(
        (arg) => arg.type === 'Assignment' && arg.value.type === 'Word' && textOf(arg.value).maySplit,
      );
    case 'Redirect':
      return node.operator.startsWith('&');
    case 'Pipeline':
      return node.operators.includes('|&');
    case 'CaseItem':
      return node.terminator !== undefined && node.terminator !== ';;';
    case 'Assignment':
      return node.append === true || node.index !== undefined;
    case 'Function':
      return source.startsWith('function', node.pos);
    case 'HereDocDelimiter':
      return node.text.includes('$');
    case 'ArithmeticExpansion':
      return node.text.startsWith('$[');
    case 'ParameterExpansion':
      // Quotes within braces within quotes are another matter in each shell.
      return node.prefix === '!' || node.index !== undefined || /["'\\]/.test(node.text);
    default:
      return false;
  }
}
