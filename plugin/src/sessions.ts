// The sessions for which this host made a sandbox, and keeping the supervisor told about them.
//
// The host calls the backend's factory before each run of a sandboxed session. The supervisor is told when a call of that
// session needs it, and again after it was restarted (its instance changes), so a supervisor that is down does not fail the run
// but only the calls, each with the reason.

import { constants, closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';

import { type Client, InstanceChanged } from './client.js';

export interface SkillCopy {
  name: string;
  /** The directory as commands in the sandbox see it. */
  path: string;
}

export interface View {
  source: string;
  path: string;
}

export interface Session {
  /** The host's key, normalized by `sessionOf`. */
  session: string;
  scope: string;
  workspace: string;
  access: 'ro' | 'rw';
  skills: SkillCopy[];
  readOnly: View[];
}

// OpenClaw hands the factory the key as it was given and the hooks the same key in lower case.
export function sessionOf(sessionKey: string | undefined): string {
  return sessionKey?.trim().toLowerCase() ?? '';
}

export class Sessions {
  private readonly known = new Map<string, Session>();
  /** The opening that is done or under way, by session: for which instance, and what was said. */
  private readonly opened = new Map<string, { instance: string; done: Promise<void> }>();

  constructor(private readonly client: Client) {}

  /** A sandbox was made for this session. Told to the supervisor when a call needs it. */
  remember(session: Session): void {
    const before = this.known.get(session.session);
    this.known.set(session.session, session);
    if (JSON.stringify(before) !== JSON.stringify(session)) this.opened.delete(session.session);
  }

  get(session: string): Session | undefined {
    return this.known.get(session);
  }

  /** Sends a request that concerns the session to a supervisor that knows it, if it has a sandbox. */
  async call(
    session: string,
    method: string,
    params: Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    try {
      return await this.client.call(method, params, await this.ensure(session));
    } catch (error) {
      if (!(error instanceof InstanceChanged)) throw error;
      return this.client.call(method, params, await this.ensure(session));
    }
  }

  // The instance that knows the session; nothing for a session without a sandbox.
  private async ensure(session: string): Promise<string | undefined> {
    const known = this.known.get(session);
    if (known === undefined) return undefined;
    const instance = await this.client.instance();
    const before = this.opened.get(session);
    if (before?.instance === instance) {
      await before.done;
      return instance;
    }
    const opening = { instance, done: this.open(known, instance) };
    this.opened.set(session, opening);
    try {
      await opening.done;
      return instance;
    } catch (error) {
      if (this.opened.get(session) === opening) this.opened.delete(session);
      throw error;
    }
  }

  /** The session has no sandbox of ours (any more). */
  async forget(session: string): Promise<void> {
    if (!this.known.delete(session)) return;
    this.opened.delete(session);
    await this.client.call('session.close', { session });
  }

  async forgetScope(scope: string): Promise<void> {
    for (const known of [...this.known.values()]) {
      if (known.scope === scope) await this.forget(known.session);
    }
  }

  hasScope(scope: string): boolean {
    return [...this.known.values()].some((known) => known.scope === scope);
  }

  private async open(known: Session, instance: string): Promise<void> {
    for (const view of known.readOnly) makeMountPoint(known.workspace, view.path);
    const params = {
      session: known.session,
      scope: known.scope,
      workspace: known.workspace,
      access: known.access,
      skills: known.skills,
      read_only: known.readOnly,
    };
    const answer = await this.client.call('session.open', params, instance);
    if (answer['workdir'] !== known.workspace) {
      throw new Error(`the supervisor shows the workspace ${known.workspace} at another path`);
    }
  }
}

// Creates the directory `target` below the workspace. The agent can write there, so no link is followed: each folder is
// opened relative to its parent.
function makeMountPoint(workspace: string, target: string): void {
  const relative = path.relative(workspace, target);
  if (relative === '' || relative.startsWith('..') || path.isAbsolute(relative)) return;
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  let folder = openSync(workspace, flags);
  try {
    for (const name of relative.split('/')) {
      const child = `/proc/self/fd/${folder}/${name}`;
      mkdirUnlessThere(child);
      const next = openSync(child, flags);
      closeSync(folder);
      folder = next;
    }
  } finally {
    closeSync(folder);
  }
}

function mkdirUnlessThere(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o755 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
