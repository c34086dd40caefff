import { Type } from '@sinclair/typebox';
import { LOOPBACK_OR_SOCKET, MIN_KEY_CHARS } from '../lib/limits.ts';
import { PATH, PATH_OPTIONS, type Setting, secretText, URL_OF_HOST } from './setting.ts';

/** Longest path in `sun_path` of unix(7), without its NUL. */
const MAX_SOCKET_CHARS = 107;

/** The settings of the console: of the agent, of `agent3 console serve`, and of root. */
export const CONSOLE_SETTINGS = {
  AGENT3_CONSOLE_DIR: {
    key: 'consoleDirectory',
    schema: Type.Optional(PATH),
    about:
      "Directory for the orders of the owner's console. With it and `AGENT3_CONSOLE_KEY`, the agent shows its state to the console and obeys its orders.",
    otherwise: 'no console',
    example: '/var/lib/agent3-console',
  },
  AGENT3_CONSOLE_KEY: {
    key: 'consoleKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Key with which the agent and `agent3 console serve` recognize each other: 32 to 512 characters. The installer makes it.',
    isSecret: true,
  },
  AGENT3_CONSOLE_SOCKET: {
    key: 'consoleSocket',
    schema: Type.String({ ...PATH_OPTIONS, maxLength: MAX_SOCKET_CHARS, default: '/run/agent3/console.sock' }),
    about: 'Unix socket on which the agent shows its state to the console.',
  },
  AGENT3_CONSOLE_ORIGIN: {
    key: 'consoleOrigin',
    schema: Type.Optional(URL_OF_HOST),
    about:
      'URL of the console in the browser, with its own origin. Passkeys belong to it: a change makes all of them invalid.',
    example: 'https://agent.example.org:8443',
  },
  AGENT3_CONSOLE_LISTEN: {
    key: 'consoleListen',
    schema: Type.String({
      pattern: LOOPBACK_OR_SOCKET,
      default: '127.0.0.1:5001',
    }),
    about: 'Where `agent3 console serve` listens: address and port on loopback, or the path of a unix socket.',
  },
  AGENT3_CONSOLE_ANSWERS: {
    key: 'consoleAnswers',
    schema: Type.String({ ...PATH_OPTIONS, default: '/run/agent3-orders' }),
    about: "Directory for root's answers to links and orders of the console.",
  },
  AGENT3_PASSKEYS_FILE: {
    key: 'passkeysFile',
    schema: Type.String({ ...PATH_OPTIONS, default: '/etc/agent3/passkeys.json' }),
    about: "File of the owner's passkeys, which `sudo agent3 console link` writes. Only root may write to it.",
  },
} as const satisfies Readonly<Record<`AGENT3_${string}`, Setting>>;
