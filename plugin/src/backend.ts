// The sandbox backend: the host asks it how to start a command and runs what it says, which is always sc-exec with a ticket.

import { createHash } from 'node:crypto';
import path from 'node:path';

import { createRemoteShellSandboxFsBridge } from 'openclaw/plugin-sdk/sandbox';

import { reasonOf, SupervisorError } from './errors.js';
import type {
  BackendHandle,
  BackendManager,
  BridgeContext,
  ExecSpec,
  FactoryParams,
  ShellCommand,
  ShellResult,
} from './host.js';
import { findExec } from './places.js';
import type { Runtime } from './runtime.js';
import { BACKEND } from './sandboxed.js';
import { type Session, sessionOf, type View } from './sessions.js';
import { runTicket } from './run-ticket.js';

const CALL_VARIABLE = 'SHARKCAGE_CALL';

/** Where the host expects the agent's workspace when that is not the sandbox's own. */
const AGENT_WORKSPACE = '/agent';

// Where the host shows its copies of skills in a writable workspace (docs/openclaw.md).
const SKILL_COPIES = '.openclaw/sandbox-skills/skills';

interface ExecRequest {
  command: string;
  workdir?: string;
  env: Record<string, string>;
}

function viewsOf(params: FactoryParams): View[] {
  const views = (params.readOnlyResourceMounts ?? []).map((mount) => ({
    source: mount.hostPath,
    path: mount.containerPath,
  }));
  if (params.cfg.workspaceAccess === 'rw' && params.skillsWorkspaceDir !== undefined) {
    views.push({
      source: path.join(params.skillsWorkspaceDir, 'skills'),
      path: path.join(params.workspaceDir, SKILL_COPIES),
    });
  }
  if (params.cfg.workspaceAccess === 'ro' && params.agentWorkspaceDir !== params.workspaceDir) {
    views.push({ source: params.agentWorkspaceDir, path: AGENT_WORKSPACE });
  }
  return views;
}

// With access "none" the workspace is the sandbox's own copy, which commands may write.
function sessionFor(params: FactoryParams): Session {
  return {
    session: sessionOf(params.sessionKey),
    scope: params.scopeKey,
    workspace: params.workspaceDir,
    access: params.cfg.workspaceAccess === 'ro' ? 'ro' : 'rw',
    skills: [],
    readOnly: viewsOf(params),
  };
}

function runtimeIdOf(scope: string): string {
  return `${BACKEND}-${createHash('sha256').update(scope).digest('hex').slice(0, 16)}`;
}

class Backend implements BackendHandle {
  readonly id = BACKEND;
  readonly runtimeId: string;
  readonly runtimeLabel: string;
  readonly workdir: string;
  readonly configLabel = BACKEND;
  readonly configLabelKind = 'Supervisor';
  readonly capabilities = { readOnlyResourceMounts: true };

  constructor(
    private readonly runtime: Runtime,
    private readonly session: Session,
    private readonly agentWorkspace: string,
  ) {
    this.runtimeId = runtimeIdOf(session.scope);
    this.runtimeLabel = this.runtimeId;
    this.workdir = session.workspace;
  }

  async buildExecSpec(request: ExecRequest): Promise<ExecSpec> {
    const { [CALL_VARIABLE]: token, ...env } = request.env;
    if (token === undefined) {
      throw new Error(
        'Sharkcage: this command was not authorized: no call token came with it. Check that the plugin is enabled and its hooks run.',
      );
    }
    const background = await this.mayRun(token, request.command);
    const ticket = await this.prepare({
      kind: 'exec',
      command: request.command,
      token,
      workdir: request.workdir ?? this.workdir,
      env,
    });
    return {
      argv: [findExec(this.runtime.settings.exec)],
      env: this.runtime.places.execEnvironment(ticket),
      cwd: '/',
      // Only a command that goes to the background is written to, by the `process` tool; any other would wait for input forever.
      stdinMode: background ? 'pipe-open' : 'pipe-closed',
      finalizeToken: token,
    };
  }

  async runShellCommand(command: ShellCommand): Promise<ShellResult> {
    await this.runtime.calls.settled(this.session.session);
    const ticket = await this.prepare({
      kind: 'bridge',
      argv: ['/bin/sh', '-c', command.script, 'sharkcage-bridge', ...(command.args ?? [])],
      workdir: this.workdir,
      env: {},
    });
    return runTicket(
      findExec(this.runtime.settings.exec),
      this.runtime.places.execEnvironment(ticket),
      command,
    );
  }

  createFsBridge({ sandbox }: { sandbox: BridgeContext }): unknown {
    this.addSkills(sandbox);
    return createRemoteShellSandboxFsBridge({
      sandbox,
      runtime: {
        remoteWorkspaceDir: this.workdir,
        remoteAgentWorkspaceDir:
          this.agentWorkspace === this.workdir ? this.workdir : AGENT_WORKSPACE,
        runRemoteShellScript: (command) => this.runShellCommand(command),
      },
    });
  }

  // The copies' names and places are known only here: the factory is not told.
  private addSkills({ workspaceAccess, skillUsagePaths }: BridgeContext): void {
    const skills = (skillUsagePaths ?? []).map(({ readPath, skillName }) => {
      const copy = path.dirname(readPath);
      return {
        name: skillName,
        path:
          workspaceAccess === 'rw'
            ? path.join(this.workdir, SKILL_COPIES, path.basename(copy))
            : copy,
      };
    });
    this.runtime.sessions.remember({ ...this.session, skills });
  }

  // Waits for the person's recorded decision where one was asked for. Returns whether the call goes to the background.
  private async mayRun(token: string, command: string): Promise<boolean> {
    const call = this.runtime.calls.get(token);
    if (call === undefined) return false;
    const denied = await call.answer;
    if (denied !== undefined) throw new Error(denied);
    if (call.session !== this.session.session || call.params['command'] !== command) {
      throw new Error('Sharkcage: the command is not the one that was authorized');
    }
    return call.params['background'] === true;
  }

  private async prepare(params: Record<string, unknown>): Promise<string> {
    try {
      const { session } = this.session;
      const { ticket } = await this.runtime.sessions.call(session, 'exec.prepare', {
        session,
        ...params,
      });
      if (typeof ticket === 'string') return ticket;
      throw new SupervisorError(0, 'the supervisor gave no ticket');
    } catch (error) {
      throw new Error(reasonOf(error), { cause: error });
    }
  }
}

/** Called by the host before each run of a sandboxed session: cheap, idempotent, and without the supervisor. */
export function makeBackend(runtime: Runtime, params: FactoryParams): BackendHandle {
  const session = sessionFor(params);
  const known = runtime.sessions.get(session.session);
  runtime.sessions.remember({ ...session, skills: known?.skills ?? [] });
  return new Backend(runtime, session, params.agentWorkspaceDir);
}

/** What `openclaw sandbox list|recreate` and the host's pruning use; `entry.sessionKey` is the scope. */
export function makeManager(runtime: Runtime): BackendManager {
  return {
    async describeRuntime({ entry }) {
      try {
        await runtime.client.instance();
        return { running: runtime.sessions.hasScope(entry.sessionKey), configLabelMatch: true };
      } catch {
        return { running: false, configLabelMatch: true };
      }
    },
    async removeRuntime({ entry }) {
      await runtime.sessions.forgetScope(entry.sessionKey);
    },
  };
}
