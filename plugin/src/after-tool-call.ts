// Tells the supervisor how a call ended, as the host saw it.

import { hostIdOf } from './before-tool-call.js';
import { reasonOf } from './errors.js';
import type { AfterToolCallEvent, ToolContext } from './host.js';
import type { Runtime } from './runtime.js';

export async function afterToolCall(
  runtime: Runtime,
  event: AfterToolCallEvent,
  context: ToolContext,
): Promise<void> {
  const hostId = hostIdOf(context.runId ?? event.runId, event.toolCallId ?? context.toolCallId);
  const call = hostId === undefined ? undefined : runtime.calls.take(hostId);
  if (call === undefined) return;
  try {
    await runtime.client.call('tool.finish', {
      token: call.token,
      ...(event.error !== undefined && { error: event.error }),
      ...(event.durationMs !== undefined && { duration_ms: Math.round(event.durationMs) }),
    });
  } catch (error) {
    runtime.logger.warn(
      `the end of a call of ${event.toolName} was not recorded. ${reasonOf(error)}`,
    );
  }
}
