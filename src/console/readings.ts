/**
 * What the page reads of the agent through the console, and types there, and as how many calls each counts: a part of a long request and a
 * search cost the agent as much as ten others.
 */
export const READINGS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    watch: 1,
    servers: 1,
    'server-reading': 5,
    request: 10,
    plan: 10,
    clients: 1,
    server: 1,
    type: 1,
    history: 10,
    session: 1,
    timing: 1,
    output: 1,
    record: 10,
    changes: 10,
    change: 10,
  }),
);
