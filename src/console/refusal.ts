/** Why the console does not do what the page asks, by the codes of its API. */
export class ApiRefusal extends Error {
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 429 | 503,
    readonly code:
      | 'BadRequest'
      | 'SignInNeeded'
      | 'PasskeyNeeded'
      | 'TooLarge'
      | 'TooManyRequests'
      | 'AgentAway'
      | 'NotFound',
    message: string,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

export function badRequest(message: string): ApiRefusal {
  return new ApiRefusal(400, 'BadRequest', message);
}

export function tooMany(retryAfterSeconds: number, message: string): ApiRefusal {
  return new ApiRefusal(429, 'TooManyRequests', message, retryAfterSeconds);
}
