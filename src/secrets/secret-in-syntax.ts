import type { Assignment, Command, SyntaxNode, Word, WordPart } from 'unbash';
import type { Told } from '../shell/places.ts';
import { rawText } from '../shell/words.ts';
import { secretArguments } from './secret-arguments.ts';
import { isSecretName } from './secret-assignments.ts';
import { secretInput } from './secret-input.ts';
import { type Invoked, invokedBy, literals } from './secret-invocations.ts';

/** A text without any of these has no secret that only its syntax tells. */
const WORDS =
  /pass|pwd|pw|secret|token|key|cred|psk|jwt|bearer|mnemonic|otp|auth|cookie|login|unlock|unseal|newusers|sudo|kinit|gpg|vault|user|group|ipmitool|cqlsh|mosquitto|snmp|lftp|crypt|-from-|sqlplus|openssl|secure|imp|exp|sql|bcp|freerdp|alias|\bwg\b/i;

/** Whether a command is worth to be read for secrets that only its syntax tells. */
export function mayTell(cmd: string): boolean {
  return WORDS.test(cmd);
}

/** The parts of a piece of a script that its syntax makes the value of a secret: assigned, compared, given or read. */
export function toldSecrets(node: SyntaxNode, text: string, isFunction: (name: string) => boolean): readonly Told[] {
  switch (node.type) {
    case 'Assignment':
      return assigned(node);
    case 'ParameterExpansion':
      return isSecretName(node.parameter) ? values(...operandsOf(node)) : [];
    case 'For':
    case 'Select':
      return isSecretName(node.name.value) ? values(...(node.wordlist ?? [])) : [];
    case 'TestBinary':
      return /^(?:==?|!=|=~)$/.test(node.operator) ? compared(node.left, node.right) : [];
    case 'Case':
      return secretIn(node.word) === undefined
        ? []
        : node.items.flatMap(({ pattern }) => compared(node.word, ...pattern));
    case 'Command':
      return given(node, text, isFunction);
    case 'Pipeline':
    case 'Redirected':
      return secretInput(node, text, isFunction);
    default:
      return [];
  }
}

function assigned({ name, value }: Assignment): Told[] {
  if (!isSecretName(name)) return [];
  const words = value.type === 'Word' ? [value] : value.elements;
  if (/(?:pwd|passwd)$/i.test(name) && words.some(({ value: path }) => /^[/~$]/.test(path))) return [];
  return value.type === 'Word' ? values(value) : words.flatMap((word) => values(behindIndex(word)));
}

/** `[name]=value` of an array without its index. */
function behindIndex(word: Word): Word {
  const skipped = /^\[[^\]\s]*\]\+?=/.exec(word.text)?.[0].length ?? 0;
  if (skipped === 0) return word;
  const pos = word.pos + skipped;
  const parts = word.parts?.flatMap((part) => (part.end <= pos ? [] : [part.pos < pos ? { ...part, pos } : part]));
  return { ...word, pos, parts };
}

function operandsOf({ operation }: Extract<WordPart, { type: 'ParameterExpansion' }>): readonly Word[] {
  switch (operation?.type) {
    case 'Default':
      return operation.operator.endsWith('?') ? [] : [operation.operand];
    case 'Remove':
      return [operation.operand];
    case 'Replace':
      return [operation.pattern, operation.replacement];
    default:
      return [];
  }
}

/** The secret whose value a word is made of. */
function secretIn({ text, parts }: Word): string | undefined {
  if (parts === undefined) return undefined;
  return [...text.matchAll(/\$\{?([A-Za-z_]\w*)/g)].map(([, name = '']) => name).find(isSecretName);
}

/** What a secret is compared with. */
function compared(...words: readonly Word[]): Told[] {
  const name = words.map(secretIn).find((one) => one !== undefined);
  if (name === undefined) return [];
  // A program that reads a language compares its words.
  const isOfLanguage = /^(?:tok|tokens?|key)$/i.test(name);
  return words
    .filter((word) => secretIn(word) === undefined && (!isOfLanguage || /[A-Za-z].*\d|\d.*[A-Za-z]/.test(word.text)))
    .flatMap((word) => values(word));
}

/** The words of a program that are secrets, and what it is given to read. */
function given(node: Command, text: string, isFunction: (name: string) => boolean): readonly Told[] {
  const invoked = invokedBy(node, isFunction);
  return [
    ...invoked.flatMap((one) => [...secretArguments(one), ...tested(one)]),
    ...secretInput(node, text, isFunction),
  ];
}

/** `[ "$TOKEN" = value ]` */
function tested({ name, words }: Invoked): Told[] {
  if (name !== '[' && name !== 'test') return [];
  return words.flatMap((word, index) => {
    const [left, right] = [words[index - 1], words[index + 1]];
    if (left === undefined || right === undefined || !/^(?:==?|!=)$/.test(rawText(word))) return [];
    return compared(left, right);
  });
}

function values(...words: readonly Word[]): Told[] {
  return words.flatMap((word) => literals(word).map((part) => ({ ...part, isValue: true })));
}
