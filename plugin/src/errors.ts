// The two ways in which asking the supervisor fails, both with words for people.

/** The supervisor answered with an error (docs/protocol.md, "Errors"). */
export class SupervisorError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly remedy?: string,
  ) {
    super(message);
    this.name = 'SupervisorError';
  }
}

/** No answer: it does not run, hangs, or is not to be trusted. */
export class UnreachableError extends Error {
  constructor(
    message: string,
    readonly remedy = 'Start it with: sc start',
  ) {
    super(message);
    this.name = 'UnreachableError';
  }
}

// By its shape and not by its class: the host loads the plugin several times, and the error may come from another copy.
function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('remedy' in error)) return undefined;
  return typeof error.remedy === 'string' ? error.remedy : undefined;
}

/** Whatever happened as one reason for the person who reads why a call was blocked. */
export function reasonOf(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
  const remedy = remedyOf(error);
  return remedy === undefined ? `Sharkcage: ${message}` : `Sharkcage: ${message}. ${remedy}`;
}
