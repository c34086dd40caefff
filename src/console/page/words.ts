import { english as access } from './access-words.ts';
import { english as fleet } from './fleet-words.ts';
import { type Language, language } from './language.ts';
import { english as past } from './past-words.ts';
import { english as plan } from './plan-words.ts';
import { english as push } from './push-words.ts';
import { english as server } from './server-words.ts';
import { spanish } from './words-es.ts';

/** Every text of the page in English. `words-es.ts` has the same in Spanish. */
const english = {
  title: (waiting: number, host: string): string =>
    `${waiting > 0 ? `(${waiting}) ` : ''}Agent3${host === '' ? '' : ` · ${host}`}`,
  brand: 'Agent3',
  navigation: 'Views',
  waiting: 'Waiting',
  now: 'Now',
  history: 'History',
  clients: 'Clients',
  skip: 'Skip to the content',
  cancel: 'Cancel',
  close: 'Close',
  loading: 'Loading …',
  signOut: 'Sign out',
  signedInAs: (name: string): string => `Signed in as ${name}`,
  lines: (count: number): string => counted(count, 'line'),
  characters: (count: number): string => counted(count, 'character'),

  ...access,
  plan,
  push,
  server,
  past,
  fleet,

  connection: {
    lost: 'Connection lost. Trying again …',
    away: 'The agent does not answer. Trying again …',
    stale: 'What you see may be old.',
  },

  notice: {
    rootTitle: 'The agent runs as root',
    root: 'A token has the profile full. A hostile command can do all that this page does: approvals prove nothing here.',
    developmentTitle: 'Development',
    development: 'Agent and console run as one user: a command can forge the orders of this page.',
    noPasskey: 'This session has no passkey: it looks, denies, stops and freezes. It cannot approve or thaw.',
  },

  announce: {
    waits: (count: number, command: string): string =>
      count === 1 ? `A command waits for you: ${command}` : `${count} commands wait for you. The newest: ${command}`,
    none: 'Nothing waits any more.',
    frozen: 'The server is frozen.',
    thawed: 'The server is not frozen any more.',
  },

  signIn: {
    title: 'Sign in',
    lead: 'Watch what your server does, and decide what may run.',
    button: 'Sign in with a passkey',
    busy: 'Waiting for your passkey …',
    help: 'No passkey on this device yet? Run this on the server, and open the link that it prints:',
    command: 'sudo agent3 console link',
    cancelled: 'No passkey was used. Try again when you are ready.',
    refused: 'This passkey is not one of this server.',
    ended: 'You are signed out.',
  },

  link: {
    title: 'Connect this device',
    lead: 'A passkey lets you approve commands from this device. It stays on the device and needs your finger, face or PIN.',
    name: 'Name of this device',
    phone: 'My phone',
    computer: 'My computer',
    create: 'Create a passkey',
    without: 'Continue without a passkey',
    withoutHelp: 'For 12 hours: look, deny, stop and freeze, but not approve.',
    busy: 'Waiting for your device …',
    cancelled: 'No passkey was made. You can try again.',
    failed: 'The device could not make a passkey.',
    openTitle: 'Confirm on the server',
    open: 'The terminal on the server shows this name and this fingerprint. If they are the same, answer y there.',
    openSession: 'The terminal on the server shows this name. Answer y there.',
    fingerprint: 'Fingerprint',
    pinnedTitle: 'This device is connected',
    pinned: 'The passkey is known to the server now.',
    refusedTitle: 'The link was refused',
    overTitle: 'This link is over',
    over: 'A link works once, within ten minutes. Make a new one on the server: sudo agent3 console link',
    leave: 'To the console',
    broken: 'This is not a whole link. Copy it again from the terminal.',
  },

  request: {
    number: (number: number): string => `Request ${number}`,
    select: (number: number): string => `Select request ${number}`,
    command: 'Command',
    change: 'Change of a file',
    expires: (time: string): string => `${time} left`,
    over: 'expires now',
    asked: 'Asked because',
    part: 'The part that asks',
    server: 'Server',
    by: 'Token',
    from: 'from',
    profile: 'Profile',
    user: 'Runs as',
    directory: 'Directory',
    limit: 'Time limit',
    seconds: (count: number): string => counted(count, 'second'),
    variables: 'Environment',
    noVariables: 'nothing added',
    input: 'Input',
    noInput: 'none',
    later: 'A client with this token may type into it later. Nobody is asked about that.',
    context: (name: string): string => `Context ${name}: its shell runs this first`,
    contextEmpty: (name: string): string => `Context ${name}, which brings nothing`,
    contextLabel: 'Context',
    file: 'File',
    mode: 'Mode',
    owner: 'Owner (user:group)',
    before: 'Before (SHA-256)',
    after: 'After (SHA-256)',
    noFile: 'no file',
    same: 'The content stays as it is.',
    difference: 'Difference',
    step: (step: number, of: number): string => `Step ${step} of ${of}: when it writes`,
    types: (step: number): string => `Step ${step} types`,
    notes: 'Look closely',
    mixed: (words: string): string => `Letters of several scripts, which can look alike: ${words}`,
    signs: (signs: string): string => `Signs that look like those of a shell: ${signs}`,
    rightToLeft: 'Letters that are written from right to left. They are shown here in the order in which they run.',
    showAll: (size: string): string => `Show all: ${size}`,
    collapse: 'Show less',
    more: (lines: number, size: string): string => (lines > 0 ? `… ${counted(lines, 'more line')}` : `… of ${size}`),
    end: (what: string): string => `End of ${what.toLowerCase()}`,
    emptyLines: (count: number, from: number, to: number): string => `${count} empty lines, ${from} to ${to}`,
    approve: 'Approve',
    approveLabel: (number: number): string => `Approve request ${number}`,
    deny: 'Deny',
    denyLabel: (number: number): string => `Deny request ${number}`,
    readFirst: (what: string): string => `To approve, read to its end: ${what}`,
    why: 'Reason, for the model (optional)',
    denyNow: 'Deny now',
    signing: 'Waiting for your passkey …',
    sending: 'Sending …',
    cancelled: 'No passkey was used. Nothing was approved.',
    loadFailed: 'The request could not be read. Trying again …',
  },

  views: {
    decided: (number: number, isApproved: boolean): string =>
      isApproved ? `Request ${number} is approved.` : `Request ${number} is denied.`,
    decidedSeveral: (count: number, isApproved: boolean): string =>
      isApproved ? `${count} requests are approved.` : `${count} requests are denied.`,
    seeOutput: (count: number): string => (count === 1 ? 'See its output' : 'See their output'),
    waitingEmpty: 'Nothing waits',
    waitingEmptyText: 'A command that needs your approval appears here by itself.',
    waitingCount: (count: number): string => (count === 1 ? '1 request waits' : `${count} requests wait`),
    selected: (count: number): string => `${count} selected`,
    approveSelected: (count: number): string => `Approve ${count}`,
    denySelected: (count: number): string => `Deny ${count}`,
    selectedUnread: 'To approve, read each selected request to its end.',
    running: 'Running',
    runningNone: 'Nothing runs',
    runningNoneText: 'Commands appear here as soon as they start.',
    ended: 'Ended',
    endedNone: 'No command has ended yet.',
    stop: 'Stop',
    stopLabel: (command: string): string => `Stop ${command}`,
    stopConfirm: 'Stop: tap again',
    stopConfirmLabel: (command: string): string => `Stop ${command} now`,
    stopAll: 'Stop all',
    stopAllConfirm: 'Stop all: tap again',
    output: 'Output',
    hide: 'Hide output',
    outputOf: (command: string): string => `Output of ${command}`,
    noOutput: 'No output yet.',
    sideways: 'Swipe the screen sideways to see the rest of it.',
    leftOut: (bytes: string): string => `… ${bytes} left out …`,
    stderr: 'stderr',
    cpu: 'CPU',
    memory: 'Memory',
    since: 'For',
    terminal: 'terminal',
    background: 'background',
    by: 'Token',
    exit: (code: number): string => `exit code ${code}`,
    clientsNone: 'No token and no grant.',
    token: 'Token',
    grant: 'Sign-in',
    profile: 'Profile',
    id: 'Id',
    expires: 'Expires',
    never: 'never',
    lastUsed: 'Last used',
    notUsed: 'not yet',
    addresses: 'From',
    client: 'Program',
    revoke: 'Revoke',
    revokeConfirm: 'Revoke: tap again',
    revokeLabel: (name: string): string => `Revoke ${name}`,
    revokeConfirmLabel: (name: string): string => `Revoke ${name} now`,
    notRevocable: 'To revoke it, change AGENT3_API_TOKEN in /etc/agent3/agent3.env on the server, and restart agent3.',
  },

  takeOver: {
    button: 'Take over',
    title: 'Type in this terminal?',
    reads:
      'The model reads what this terminal shows, and its command gets every key, also where nothing is shown. Type no password that this command must not have.',
    kept: 'The record has what the terminal shows as you type. Of everything else, such as a password, it has only the length.',
    now: 'Take over now',
    from: 'Take it from them',
    other: (name: string, time: string): string => `${name} types here, for ${time}.`,
    typing: 'You type here. The model waits.',
    handBack: 'Hand back',
    ended: 'You no longer type here: the terminal was handed back, or somebody else took it.',
    full: 'The program does not read: the last keys were left out.',
    keys: 'Keyboard',
    line: 'A line to type',
    hide: 'Hide',
    send: 'Send',
    fit: 'Fit',
    names: { '↑': 'Up', '↓': 'Down', '←': 'Left', '→': 'Right' } as Readonly<Record<string, string>>,
    help: 'You can also type into the terminal itself; Shift+Tab leaves it. Fit sets it to the size of your screen.',
  },

  freeze: {
    button: 'Freeze',
    title: 'Freeze the server?',
    text: 'Every command pauses, and nothing new starts, until you thaw.',
    reason: 'Reason, for the models (optional)',
    now: 'Freeze now',
    stopAll: 'Stop all instead',
    frozen: 'Frozen',
    since: (time: string, by: string): string => `Since ${time}, by ${by}.`,
    bySignals: 'Held by signals alone: a command in the profile full can continue.',
    thaw: 'Thaw',
    busy: 'Sending …',
  },

  status: {
    running: 'running',
    done: 'done',
    killed: 'stopped',
    timeout: 'time limit',
    output_limit: 'output limit',
    lost: 'lost',
    denied: 'denied',
    stopped: 'not run: agent restarted',
    expired: 'not run: nobody decided',
    withdrawn: 'not run: taken back',
    waiting: 'waiting',
    frozen: 'frozen',
  } as Readonly<Record<string, string>>,

  result: {
    refused: (why: string): string => `Refused: ${why}`,
    unknown: 'No answer yet. Look at the list again before you repeat it.',
    failed: (why: string): string => `This did not work: ${why}`,
    passkeyNeeded: 'This needs your passkey.',
    clocks: (server: number): string =>
      `Nothing was signed: the clock of this device says ${clock(Date.now())} UTC, that of the server ${clock(server)}. Set the wrong one (on the device: automatic date and time; on the server: timedatectl set-ntp true), then try again.`,
    otherSite: (named: string, own: string): string =>
      `the console names the site ${named}, and this page is of ${own}. AGENT3_CONSOLE_ORIGIN on the server has to be the address of this page.`,
    lost: 'The connection was lost. Look at the list again before you repeat it.',
    away: 'The agent does not answer.',
  },

  time: {
    after: (time: string): string => `after ${time}`,
    ago: (time: string): string => `${time} ago`,
    seconds: (count: number): string => `${count} s`,
    minutes: (count: number): string => `${count} min`,
    hours: (hours: number, minutes: number): string => `${hours} h ${minutes} min`,
    days: (count: number): string => (count === 1 ? '1 day' : `${count} days`),
    milliseconds: (count: number): string => `${count} ms`,
  },
};

export type Words = typeof english;

/** The compiler demands every text in every language. */
export const WORDS: Readonly<Record<Language, Words>> = { en: english, es: spanish };

/** The texts in the language of this page. */
export const words: Words = WORDS[language];

function clock(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}

function counted(count: number, one: string): string {
  return `${count.toLocaleString('en-US')} ${one}${count === 1 ? '' : 's'}`;
}
