import type { SyntaxNode } from 'unbash';
import { textOf } from './words.ts';

/** Variables of which another value changes what commands mean, or runs some; but for values that are harmless. */
export function isSpecialVariable(name: string, value?: string): boolean {
  if (value !== undefined && isHarmless(name, value)) return false;
  return SPECIAL.test(name.replace(/\[.*$/s, ''));
}

function isHarmless(name: string, value: string): boolean {
  if (/^(?:NODE_ENV|PYTHON(?:UNBUFFERED|DONTWRITEBYTECODE|IOENCODING|UTF8))$/.test(name)) return true;
  if (name === 'TMPDIR') return /^\/tmp(?:\/|$)(?!.*\.\.)/.test(value);
  if (name.endsWith('PAGER')) return /^(?:cat|less|more|)$/.test(value);
  return /^GIT_(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL|DATE)$|^GIT_TERMINAL_PROMPT$/.test(name);
}

const SPECIAL = new RegExp(
  `^(?:${[
    'PATH|IFS|ENV|POSIXLY_CORRECT|BASH_ENV|BASH_FUNC_.*|BASH_CMDS|BASH_ALIASES|BASH_LOADABLES_PATH|SHELL|SHELLOPTS|BASHOPTS|PS[0-4]',
    'PROMPT_COMMAND|CDPATH|EXECIGNORE|GLOBIGNORE|HOME|(?:OLD)?PWD|TMPDIR|XDG_CONFIG_.*|LD_.*|GCONV_PATH|OPENSSL_.*|BROWSER',
    'PYTHON.*|PERL5?.*|RUBY.*|NODE_.*|BUN_.*|npm_.*|NPM_CONFIG_.*|GOFLAGS|GOTOOLCHAIN|RUSTC.*|CARGO_.*|LUA_.*|AWK.*',
    'JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS|_JAVA_OPTIONS|MAVEN_.*|GRADLE_.*|PHP.*|TCL.*',
    'GIT_.*|SVN_.*|HG.*|RSYNC_.*|.*_ASKPASS|.*PAGER|.*EDITOR|VISUAL|VIMINIT|GVIMINIT|EXINIT|LESS.*|MAN.*',
    'GNUMAKEFLAGS|MAKEFLAGS|MAKEFILES|COMPILER_PATH|GCC_.*|CC|CXX|TAR_OPTIONS|ZIPOPT|UNZIP.*|GREP|DIFF|CMP|SED',
    'APT_CONFIG|DPKG_.*|KUBECONFIG|DOCKER_.*|WGETRC|CURL_HOME|RIPGREP_CONFIG_PATH|PSQLRC|PSQL_.*|SQLITE_.*|ANSIBLE_.*',
  ].join('|')})$`,
);

/** The special variable that a piece of a script gives a value. */
export function specialVariableOf(node: SyntaxNode): string | undefined {
  if (node.type === 'Assignment' && node.value.type === 'Word' && node.index === undefined) {
    const value = textOf(node.value);
    return isSpecialVariable(node.name, value.isKnown ? value.text : undefined) ? node.name : undefined;
  }
  return variablesOf(node).find((name) => isSpecialVariable(name));
}

function variablesOf(node: SyntaxNode): readonly string[] {
  switch (node.type) {
    case 'Assignment':
    case 'FileDescriptorVariable':
      return [node.name];
    case 'For':
    case 'Select':
      return [node.name.value];
    case 'ParameterExpansion':
      return node.operation?.type === 'Default' && node.operation.operator.endsWith('=') ? [node.parameter] : [];
    default:
      return arithmeticNamesOf(node);
  }
}

/** The names in a piece of a script that is arithmetic, which may set all of them; where it was parsed, its parts tell. */
export function arithmeticNamesOf(node: SyntaxNode): readonly string[] {
  switch (node.type) {
    case 'ArithmeticWord':
      return namesIn(node.value);
    case 'ArithmeticCommand':
      return node.expression === undefined ? namesIn(node.body) : [];
    case 'ArithmeticExpansion':
      return node.expression === undefined ? namesIn(node.text) : [];
    default:
      return [];
  }
}

/** The names in an arithmetic expression. */
export function namesIn(expression: string): string[] {
  return expression.match(/[A-Za-z_]\w*/g) ?? [];
}
