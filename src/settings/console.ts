import { Type } from '@sinclair/typebox';
import { MIN_KEY_CHARS } from '../lib/limits.ts';
import { PATH, PATH_OPTIONS, type Setting, secretText, URL_OF_HOST } from './setting.ts';

/** What `sun_path` of unix(7) holds, without its end. */
const MAX_SOCKET_CHARS = 107;

/** The settings of the console: of the agent's side, of `agent3 console serve`, and of root's. */
export const CONSOLE_SETTINGS = {
  AGENT3_CONSOLE_DIR: {
    key: 'consoleDirectory',
    schema: Type.Optional(PATH),
    about:
      "Directory in which the owner's console leaves orders. With it and `AGENT3_CONSOLE_KEY`, the agent shows its state to the console and obeys it.",
    otherwise: 'no console',
    example: '/var/lib/agent3-console',
  },
  AGENT3_CONSOLE_KEY: {
    key: 'consoleKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Shared by the agent and `agent3 console serve`, which prove it to each other: 32 to 512 characters. The installer makes it.',
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
      'URL of the console in the browser, with an origin of its own. Passkeys belong to it: a change ends all of them.',
    example: 'https://agent.example.org:8443',
  },
  AGENT3_CONSOLE_LISTEN: {
    key: 'consoleListen',
    schema: Type.String({
      pattern: '^(?:/[^\\0]{1,106}|(?:127\\.0\\.0\\.1|localhost|\\[::1\\]):\\d{1,5})$',
      default: '127.0.0.1:5001',
    }),
    about: 'Where `agent3 console serve` listens: address and port on loopback, or the path of a unix socket.',
  },
  AGENT3_CONSOLE_ANSWERS: {
    key: 'consoleAnswers',
    schema: Type.String({ ...PATH_OPTIONS, default: '/run/agent3-orders' }),
    about: "Directory in which root answers the console's links and orders.",
  },
  AGENT3_PASSKEYS_FILE: {
    key: 'passkeysFile',
    schema: Type.String({ ...PATH_OPTIONS, default: '/etc/agent3/passkeys.json' }),
    about: "File of the owner's passkeys, which `sudo agent3 console link` writes. Root alone may write to it.",
  },
} as const satisfies Readonly<Record<`AGENT3_${string}`, Setting>>;
