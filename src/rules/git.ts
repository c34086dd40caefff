import { type Hazards, isHazardous } from './hazards.ts';
import { asksAboutItself, type Look, NOTHING, unreadable } from './look.ts';
import { type Options, parseOptions } from './options.ts';
import type { Text } from './words.ts';

const GLOBAL: Options = {
  plain: 'Pph',
  plainLong: [
    'no-pager',
    'paginate',
    'bare',
    'no-replace-objects',
    'no-lazy-fetch',
    'no-optional-locks',
    'literal-pathspecs',
    'glob-pathspecs',
    'noglob-pathspecs',
    'icase-pathspecs',
    'exec-path',
    'html-path',
    'man-path',
    'info-path',
  ],
  valued: 'Cc',
  valuedLong: ['git-dir', 'work-tree', 'namespace', 'attr-source'],
};

export const git: Look = (args) => {
  if (asksAboutItself(args, ['-v', '-h'])) return NOTHING;
  const parsed = parseOptions(args, GLOBAL);
  if (parsed === undefined) return RUNS;
  const setting = parsed.given.get('-c');
  const counts = args.filter(({ text }) => text.startsWith('-c')).length;
  if (parsed.given.has('--exec-path') && parsed.rest.length > 0) return RUNS;
  if (parsed.given.has('-c') && (counts > 1 || setting?.isKnown !== true || !isHarmlessKey(setting.text))) return RUNS;
  const [name, ...rest] = parsed.rest;
  if (name === undefined) return NOTHING;
  // What is none of git's own may be an alias for anything.
  if (!name.isKnown || !PLAIN.has(name.text)) return name.text === 'config' && setsNothing(rest) ? NOTHING : RUNS;
  return isHazardous(rest, BY_NAME[name.text] ?? ANY) ? RUNS : NOTHING;
};

const RUNS = unreadable('it may run other programs');

/** Its own commands that run nothing else unless their words say so. */
const PLAIN = new Set(
  (
    'add am annotate apply archive bisect blame branch bundle cat-file check-attr check-ignore check-ref-format checkout ' +
    'cherry cherry-pick clean clone commit commit-graph commit-tree count-objects describe diff diff-files diff-index ' +
    'diff-tree fast-export fetch for-each-ref format-patch fsck gc grep hash-object help index-pack init lfs log ' +
    'ls-files ls-remote ls-tree merge merge-base merge-tree mktree mv name-rev notes pack-refs prune pull push ' +
    'range-diff read-tree rebase reflog remote repack replace reset restore rev-list rev-parse revert rm shortlog show ' +
    'show-branch show-ref sparse-checkout stash status submodule switch symbolic-ref tag update-index update-ref var ' +
    'verify-commit verify-pack verify-tag version whatchanged worktree write-tree'
  ).split(' '),
);

/** A transport that runs a command, and one that a configuration may name. */
const REMOTE = /^\w[\w+.-]*::/;

const ANY: Hazards = {};
const TRANSPORT: Hazards = { long: ['upload-pack', 'receive-pack', 'exec', 'config', 'template'], words: REMOTE };

const BY_NAME: Readonly<Record<string, Hazards | undefined>> = {
  __proto__: null as unknown as Hazards,
  archive: TRANSPORT,
  bisect: { words: /^(?:run|v\w*)?$/ },
  clone: {
    ...TRANSPORT,
    letters: 'uc',
    valued: 'bojj',
    valuedLong: ['branch', 'depth', 'origin', 'reference', 'jobs'],
  },
  fetch: { ...TRANSPORT, valued: 'j', valuedLong: ['depth', 'jobs'] },
  // A word that is not known may be an option.
  grep: {
    letters: 'O',
    long: ['open-files-in-pager'],
    harmless: ['only-matching'],
    valued: 'efABCm',
    valuedLong: ['and'],
  },
  init: { long: ['template'] },
  'ls-remote': TRANSPORT,
  pull: { ...TRANSPORT, valued: 's', harmless: [] },
  push: { ...TRANSPORT, valued: 'o' },
  rebase: { letters: 'x', long: ['exec'], valued: 'sX', valuedLong: ['onto', 'strategy'] },
  remote: { words: REMOTE },
  replace: { long: ['edit'] },
  submodule: { words: /^(?:foreach)?$|^\w[\w+.-]*::/, valued: 'bj' },
};

/** Settings that name no program, and are no way to have one run. */
const HARMLESS_KEY =
  /^(?:(?:user|author|committer)\.(?:name|email|signingkey)|(?:color|advice|status|column|rerere|gc|pack|stash|rebase|pull|push|fetch|branch|log|commit|tag|apply|blame|help|index|feature|safe|transfer|receive\.deny\w*|merge\.(?:ff|conflictstyle|log|renames|stat)|diff\.(?:renames|algorithm|colormoved|context|mnemonicprefix|noprefix)|init\.defaultbranch|remote\.[^=]*\.(?:url|fetch|pushurl|prune)|format\.pretty|http\.(?:postbuffer|sslverify|lowspeed\w+)|core\.(?:autocrlf|eol|filemode|ignorecase|quotepath|longpaths|symlinks|precomposeunicode|whitespace|abbrev|compression|bigfilethreshold|safecrlf|untrackedcache|commentchar)))(?:$|[.=])/i;

function isHarmlessKey(text: string): boolean {
  const [key = '', value = ''] = text.split('=', 2);
  return HARMLESS_KEY.test(key) && !REMOTE.test(value) && !/^branch\..*\.mergeoptions$/i.test(key);
}

/** Whether `git config` only reads, or sets what is harmless. */
function setsNothing(args: readonly Text[]): boolean {
  if (args.some((arg) => !arg.isKnown && arg.text === '' && !isValue(args, arg))) return false;
  const options = args.filter(({ text }) => text.startsWith('-')).map(({ text }) => text);
  if (options.some((text) => /^-(?:-ed|-e$|[a-zA-Z]*e)/.test(text))) return false;
  if (options.some((text) => /^(?:--get(?:-\w+)*|-l|--list|--unset(?:-all)?|--remove-section)$/.test(text)))
    return true;
  const words = args.filter(
    ({ text }, index) => !text.startsWith('-') && !/^(?:-f|--file|--type|--blob)$/.test(args[index - 1]?.text ?? ''),
  );
  const isNamed = /^(?:get|list|set|unset|edit|rename-section|remove-section)$/.test(words[0]?.text ?? '');
  if (words[0]?.text === 'edit') return false;
  if (/^(?:get|list|unset)$/.test(words[0]?.text ?? '')) return true;
  const [key, ...values] = isNamed ? words.slice(1) : words;
  if (values.length === 0) return true;
  return key?.isKnown === true && isHarmlessKey(key.text) && !values.some(({ text }) => REMOTE.test(text));
}

/** The last word is the value, which may be anything. */
function isValue(args: readonly Text[], arg: Text): boolean {
  return args.at(-1) === arg && !arg.maySplit;
}
