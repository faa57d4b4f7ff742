// Sharkcage for OpenClaw: every tool call is authorized before it runs, and commands run in a sandbox of the supervisor.

import { registerSandboxBackend } from 'openclaw/plugin-sdk/sandbox';

import { afterToolCall } from './after-tool-call.js';
import { makeBackend, makeManager } from './backend.js';
import { BeforeToolCall } from './before-tool-call.js';
import type { PluginApi } from './host.js';
import { releaseRuntime, settingsOf, useRuntime } from './runtime.js';
import { BACKEND, isSandboxed } from './sandboxed.js';
import { sessionOf } from './sessions.js';

/** After every other hook, so that what is judged is what will be used. */
const LAST = Number.MIN_SAFE_INTEGER;

export default {
  id: BACKEND,
  name: 'Sharkcage',
  description: 'Authorizes every tool call and runs commands in a sandbox built for exactly that',

  register(api: PluginApi): void {
    const runtime = useRuntime(settingsOf(api.pluginConfig), api.logger, (session, agent) =>
      isSandboxed(api.runtime.config.current(), session, agent),
    );
    const restore = registerSandboxBackend(BACKEND, {
      factory: (params) => Promise.resolve(makeBackend(runtime, params)),
      manager: makeManager(runtime),
      resolveWorkdir: ({ workspaceDir }) => workspaceDir,
      capabilities: { readOnlyResourceMounts: true },
    });

    const before = new BeforeToolCall(runtime);
    api.on('before_tool_call', (event, context) => before.handle(event, context), {
      priority: LAST,
    });
    api.on('after_tool_call', (event, context) => afterToolCall(runtime, event, context));

    api.lifecycle.registerRuntimeLifecycle({
      id: BACKEND,
      dispose: () => {
        restore();
        releaseRuntime(runtime);
      },
      cleanup: ({ sessionKey }) => runtime.sessions.forget(sessionOf(sessionKey)),
    });
  },
};
