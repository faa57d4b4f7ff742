// OpenClaw's `openclaw/plugin-sdk/sandbox`, which comes without types. The host resolves the import to itself when it loads the
// plugin; for the compiler, tsconfig.json's `paths` resolves it to this file.

import type {
  BackendHandle,
  BackendManager,
  BridgeContext,
  FactoryParams,
  ShellCommand,
  ShellResult,
} from './host.js';

export const SANDBOX_COMMAND_MAX_BUFFER_BYTES: number;

export function registerSandboxBackend(
  id: string,
  registration: {
    factory: (params: FactoryParams) => Promise<BackendHandle>;
    manager: BackendManager;
    resolveWorkdir: (params: { workspaceDir: string }) => string;
    capabilities: { readOnlyResourceMounts: boolean };
  },
): () => void;

export function resolveSandboxRuntimeStatus(params: {
  cfg: unknown;
  sessionKey?: string;
  agentId?: string;
}): { agentId: string; sandboxed: boolean };

/** The host's own file bridge for runtimes that it reaches through shell commands (it needs python3 there). */
export function createRemoteShellSandboxFsBridge(params: {
  sandbox: BridgeContext;
  runtime: {
    remoteWorkspaceDir: string;
    remoteAgentWorkspaceDir: string;
    runRemoteShellScript: (command: ShellCommand) => Promise<ShellResult>;
  };
}): unknown;
