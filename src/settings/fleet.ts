import { Type } from '@sinclair/typebox';
import { MIN_KEY_CHARS } from '../lib/limits.ts';
import { PATH, type Setting, secretText } from './setting.ts';

/** The settings of the fleet: of a hub, and of a server that has joined one. The commands `fleet init` and `join` set them. */
export const FLEET_SETTINGS = {
  AGENT3_FLEET_DIR: {
    key: 'fleetDirectory',
    schema: Type.Optional(PATH),
    about:
      'Makes this agent the hub of a fleet: directory of its inventory, which `agent3 fleet init` makes. Only root may write to it.',
    otherwise: 'no hub',
    example: '/etc/agent3/fleet',
  },
  AGENT3_FLEET_KEY: {
    key: 'fleetKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Key of the hub (`SU…`), which signs its requests to servers. `agent3 fleet init` makes it. Another key makes the fleet unusable.',
    isSecret: true,
  },
  AGENT3_HUB_FILE: {
    key: 'hubFile',
    schema: Type.Optional(PATH),
    about:
      'Makes this agent a server of a hub: file about the hub, which `agent3 join` writes. Only root may write to it.',
    otherwise: 'no hub',
    example: '/etc/agent3/hub.json',
  },
  AGENT3_HUB_KEY: {
    key: 'hubKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about: 'Key of this server (`SU…`), by which its hub knows it. `agent3 join` makes it.',
    isSecret: true,
  },
  AGENT3_HUB_ORDERS_DIR: {
    key: 'hubOrdersDirectory',
    schema: Type.Optional(PATH),
    about:
      "Directory in which the agent leaves orders of the hub's console for root: freeze, thaw, passkeys. `agent3 join` sets it.",
    otherwise: 'a service refuses them, another agent obeys them itself',
    example: '/var/lib/agent3/hub-orders',
  },
} as const satisfies Readonly<Record<`AGENT3_${string}`, Setting>>;
