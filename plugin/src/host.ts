// The part of OpenClaw's plugin SDK that this plugin uses, as types.
//
// The SDK of 2026.9.6 exports no types for its sandbox surface, and its other types come with the whole host (850 MB). So
// what is used is written down here, and tests/e2e shows with the real host that it is so.

export type Decision = 'allow-once' | 'allow-always' | 'deny';
export type Resolution = Decision | 'timeout' | 'cancelled';

export interface Requester {
  readonly channel?: string;
  readonly accountId?: string;
  readonly senderId?: string;
  readonly senderIsOwner?: boolean;
  readonly roleIds?: readonly string[];
}

export interface ToolContext {
  agentId?: string;
  sessionKey?: string;
  runId?: string;
  toolCallId?: string;
  requester?: Requester;
}

export interface BeforeToolCallEvent {
  toolName: string;
  params: Record<string, unknown>;
  /** Tells tools apart that share a name: `code_mode_exec` is JavaScript in the host, not a command. */
  toolKind?: string;
  runId?: string;
  toolCallId?: string;
}

export interface BeforeToolCallResult {
  params?: Record<string, unknown>;
  block?: boolean;
  blockReason?: string;
  requireApproval?: {
    title: string;
    description: string;
    severity?: 'info' | 'warning' | 'critical';
    timeoutMs?: number;
    allowedDecisions?: Decision[];
    onResolution?: (decision: Resolution) => Promise<void> | void;
  };
}

export interface AfterToolCallEvent {
  toolName: string;
  runId?: string;
  toolCallId?: string;
  error?: string;
  durationMs?: number;
}

export interface Logger {
  info(message: string): void;
  warn(message: string): void;
}

/** The host's configuration, as far as it tells which sessions are sandboxed by whom. */
export interface HostConfig {
  agents?: {
    defaults?: { sandbox?: { backend?: string } };
    entries?: Record<string, { sandbox?: { backend?: string } }>;
  };
}

export interface PluginApi {
  registrationMode: string;
  pluginConfig?: Record<string, unknown>;
  logger: Logger;
  runtime: { config: { current(): unknown } };
  lifecycle: {
    registerRuntimeLifecycle(lifecycle: {
      id: string;
      dispose?: () => void | Promise<void>;
      cleanup?: (context: { sessionKey?: string }) => void | Promise<void>;
    }): void;
  };
  on(
    hook: 'before_tool_call',
    handler: (
      event: BeforeToolCallEvent,
      context: ToolContext,
    ) => Promise<BeforeToolCallResult | undefined>,
    options?: { priority?: number; timeoutMs?: number },
  ): void;
  on(
    hook: 'after_tool_call',
    handler: (event: AfterToolCallEvent, context: ToolContext) => void | Promise<void>,
  ): void;
}

export interface FactoryParams {
  sessionKey: string;
  scopeKey: string;
  workspaceDir: string;
  agentWorkspaceDir: string;
  skillsWorkspaceDir?: string;
  readOnlyResourceMounts?: { hostPath: string; containerPath: string }[];
  cfg: { workspaceAccess: 'none' | 'ro' | 'rw' };
}

export interface ExecSpec {
  argv: string[];
  env: Record<string, string>;
  cwd?: string;
  stdinMode: 'pipe-open' | 'pipe-closed';
  finalizeToken?: unknown;
}

export interface ShellCommand {
  script: string;
  args?: string[];
  stdin?: Buffer | string;
  allowFailure?: boolean;
  signal?: AbortSignal;
}

export interface ShellResult {
  stdout: Buffer;
  stderr: Buffer;
  code: number;
}

/** What the host hands to a backend that makes its own file bridge. */
export interface BridgeContext {
  workspaceAccess: 'none' | 'ro' | 'rw';
  skillUsagePaths?: { readPath: string; skillName: string }[];
}

export interface BackendHandle {
  id: string;
  runtimeId: string;
  runtimeLabel: string;
  workdir: string;
  configLabel?: string;
  configLabelKind?: string;
  capabilities?: { readOnlyResourceMounts?: boolean };
  buildExecSpec(params: {
    command: string;
    workdir?: string;
    env: Record<string, string>;
    usePty: boolean;
  }): Promise<ExecSpec>;
  finalizeExec?(params: { token?: unknown }): Promise<void>;
  runShellCommand(command: ShellCommand): Promise<ShellResult>;
  createFsBridge?(params: { sandbox: BridgeContext }): unknown;
}

export interface BackendManager {
  describeRuntime(params: { entry: { sessionKey: string } }): Promise<{
    running: boolean;
    configLabelMatch: boolean;
  }>;
  removeRuntime(params: { entry: { sessionKey: string } }): Promise<void>;
}
