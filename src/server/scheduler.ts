import { CronJob } from 'cron';
import type { Notices } from '../lib/notices.ts';

/** Work that is done again and again. */
export interface Job {
  readonly name: string;
  /** Cron expression with seconds. */
  readonly cronTime: string;
  run(): Promise<void>;
}

/** Starts the jobs; a run that is still going on skips the next one. Gives the function that stops them. */
export function schedule(jobs: readonly Job[], notices: Notices): () => Promise<void> {
  const started = jobs.map((job) =>
    CronJob.from({
      name: job.name,
      cronTime: job.cronTime,
      onTick: () => job.run(),
      waitForCompletion: true,
      errorHandler: (error) => notices.warn({ job: job.name, err: error }, 'a scheduled job failed'),
      start: true,
    }),
  );
  return async () => {
    await Promise.all(started.map((job) => job.stop()));
  };
}
