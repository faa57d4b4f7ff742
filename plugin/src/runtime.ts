// What one host process shares between the hooks and the backend.
//
// The host registers a plugin several times, from module copies of its own choosing, and what one registration's hook learns
// another's backend must know: so it is kept on globalThis.

import { isDeepStrictEqual } from 'node:util';

import { Calls } from './calls.js';
import { Client } from './client.js';
import type { Logger } from './host.js';
import { Places } from './places.js';
import { Sessions } from './sessions.js';

const KEY = Symbol.for('sharkcage.openclaw.runtime');

/** The plugin's configuration (openclaw.plugin.json, `configSchema`). */
export interface Settings {
  /** The instance's directory, instead of SHARKCAGE_HOME. */
  home?: string;
  /** The program sc-exec, instead of the one on PATH. */
  exec?: string;
}

export interface Runtime {
  readonly settings: Settings;
  readonly places: Places;
  readonly client: Client;
  readonly sessions: Sessions;
  readonly calls: Calls;
  readonly logger: Logger;
  /** Whether the host runs this session's tools in a sandbox of ours, now. */
  readonly hasSandbox: (sessionKey: string | undefined, agentId: string | undefined) => boolean;
}

export function settingsOf(config: Record<string, unknown> | undefined): Settings {
  const { home, exec } = config ?? {};
  return {
    ...(typeof home === 'string' && { home }),
    ...(typeof exec === 'string' && { exec }),
  };
}

interface Holder {
  [KEY]?: { runtime: Runtime; users: number } | undefined;
}

/** The process's runtime, made anew when the configuration changed. Each use ends with `releaseRuntime`. */
export function useRuntime(
  settings: Settings,
  logger: Logger,
  hasSandbox: Runtime['hasSandbox'],
): Runtime {
  const holder = globalThis as Holder;
  const current = holder[KEY];
  if (current !== undefined && isDeepStrictEqual(current.runtime.settings, settings)) {
    current.users += 1;
    return current.runtime;
  }
  current?.runtime.client.close();
  const places = new Places(settings.home);
  const client = new Client(() => places.socket());
  const runtime: Runtime = {
    settings,
    places,
    client,
    sessions: new Sessions(client),
    calls: new Calls(client),
    logger,
    hasSandbox,
  };
  holder[KEY] = { runtime, users: 1 };
  return runtime;
}

/** A reload registers the new generation before it disposes of the old one, so the last user closes. */
export function releaseRuntime(runtime: Runtime): void {
  const holder = globalThis as Holder;
  const current = holder[KEY];
  if (current?.runtime !== runtime) return;
  current.users -= 1;
  if (current.users > 0) return;
  holder[KEY] = undefined;
  runtime.client.close();
}
