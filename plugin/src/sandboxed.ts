// Whether the host sandboxes a session with this backend.
//
// Asked anew for every call: a person may opt one chat out (`sessions.patch {sandboxMode: "off"}`) or change the configuration
// while the host runs, and then its file tools work on the host itself without another word to the backend.

import { resolveSandboxRuntimeStatus } from 'openclaw/plugin-sdk/sandbox';

import type { HostConfig } from './host.js';

export const BACKEND = 'sharkcage';

// As the host resolves it: the agent's own setting, then the defaults.
function backendOf(config: HostConfig, agentId: string): string {
  const own = config.agents?.entries?.[agentId]?.sandbox?.backend?.trim();
  return (own || config.agents?.defaults?.sandbox?.backend?.trim() || '').toLowerCase();
}

export function isSandboxed(
  config: unknown,
  sessionKey: string | undefined,
  agentId: string | undefined,
): boolean {
  if (sessionKey === undefined || sessionKey.trim() === '') return false;
  const status = resolveSandboxRuntimeStatus({
    cfg: config,
    sessionKey,
    ...(agentId !== undefined && { agentId }),
  });
  return status.sandboxed && backendOf(config as HostConfig, status.agentId) === BACKEND;
}
