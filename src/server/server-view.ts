import { readDoctorNote } from '../console/doctor-note.ts';
import type { Server } from '../console/shown.ts';
import { describeMachine } from '../operations/server-info.ts';
import { version } from '../version.ts';
import type { Deps } from './deps.ts';

/** Returns the state of the server and the last findings of doctor, for the console. */
export function describeServer({ config, store, user, clock }: Deps): Server {
  return {
    ...describeMachine(store.directory),
    version,
    user,
    started_at: Math.round(clock.now() - process.uptime() * 1000),
    agent_bytes: process.memoryUsage.rss(),
    limits: {
      running: config.maxRunning,
      background_seconds: config.maxBackgroundSeconds,
      sessions_bytes: config.maxSessionsBytes,
      command_memory_bytes: config.commandMemoryBytes ?? null,
    },
    doctor: readDoctorNote(),
  };
}
