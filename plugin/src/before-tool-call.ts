// Asks the supervisor about every tool call, last of all hooks, and pins the parameters it judged.

import type { Call } from './calls.js';
import { reasonOf } from './errors.js';
import type {
  BeforeToolCallEvent,
  BeforeToolCallResult,
  Decision,
  Requester,
  ToolContext,
} from './host.js';
import type { Runtime } from './runtime.js';
import { sessionOf } from './sessions.js';

/** Tools that only carry another tool call, which comes back here under its own name. */
const WRAPPERS = new Set(['tool_call']);

/** How long a person has to answer: the host's maximum. */
const APPROVAL_MS = 600_000;

const MAX_RUNS = 1024;

const SEVERITIES = ['info', 'warning', 'critical'] as const;
const DECISIONS = ['allow-once', 'allow-always', 'deny'] as const;

function block(reason: string): BeforeToolCallResult {
  return { block: true, blockReason: reason };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// A person is at the other end only where a message of theirs, from a channel, started the run. A sub-agent's requester has
// a channel and no sender; a CLI run, a scheduled run have neither. The host would answer "cancelled" there.
function canPrompt(session: string, requester: Requester | undefined): boolean {
  return (
    requester?.channel !== undefined &&
    requester.senderId !== undefined &&
    !session.includes(':subagent:')
  );
}

// The host lays the returned parameters over the model's own, so what was left out must be taken away by name.
function pinned(
  original: Record<string, unknown>,
  judged: Record<string, unknown>,
): Record<string, unknown> {
  const absent = Object.keys(original).filter((key) => !(key in judged));
  return { ...Object.fromEntries(absent.map((key) => [key, undefined])), ...judged };
}

/** The id by which `after_tool_call` finds the call again. */
export function hostIdOf(
  runId: string | undefined,
  toolCallId: string | undefined,
): string | undefined {
  return toolCallId === undefined ? undefined : `${runId ?? ''}\n${toolCallId}`;
}

export class BeforeToolCall {
  /** Who started a run, as its outer calls tell: inner calls may come without. */
  private readonly requesters = new Map<string, Requester>();

  constructor(private readonly runtime: Runtime) {}

  async handle(event: BeforeToolCallEvent, context: ToolContext): Promise<BeforeToolCallResult> {
    if (event.toolKind === 'code_mode_exec') {
      return block(
        'Sharkcage: code mode runs JavaScript inside the host, where nothing confines it. Turn it off for this agent.',
      );
    }
    try {
      return await this.authorize(event, context);
    } catch (error) {
      return block(reasonOf(error));
    }
  }

  private async authorize(
    event: BeforeToolCallEvent,
    context: ToolContext,
  ): Promise<BeforeToolCallResult> {
    const { sessions, hasSandbox } = this.runtime;
    const session = sessionOf(context.sessionKey);
    if (!hasSandbox(context.sessionKey, context.agentId)) await sessions.forget(session);

    const run = context.runId ?? event.runId;
    const requester = this.requesterOf(run, context.requester);
    const verdict = await sessions.call(session, 'tool.authorize', {
      tool: event.toolName,
      params: event.params,
      session,
      ...(context.agentId !== undefined && { agent: context.agentId }),
      ...(run !== undefined && { run }),
      ...(event.toolCallId !== undefined && { call: event.toolCallId }),
      ...(WRAPPERS.has(event.toolName) && { outer: true }),
      ...(requester !== undefined && { requester }),
      prompt: canPrompt(session, requester),
    });
    return this.carryOut(verdict, event, session, hostIdOf(run, event.toolCallId));
  }

  private carryOut(
    verdict: Record<string, unknown>,
    event: BeforeToolCallEvent,
    session: string,
    hostId: string | undefined,
  ): BeforeToolCallResult {
    if (verdict['verdict'] === 'block') {
      const reason = verdict['reason'];
      return block(`Sharkcage: ${typeof reason === 'string' ? reason : 'the call was blocked'}`);
    }
    const { token, params, approval } = verdict;
    if (typeof token !== 'string' || !isObject(params)) {
      return block('Sharkcage: the supervisor gave no valid verdict');
    }
    const call: Call = { token, session, tool: event.toolName, params };
    const result = { params: pinned(event.params, params) };
    if (verdict['verdict'] === 'allow') {
      this.runtime.calls.add(call, hostId);
      return result;
    }
    if (verdict['verdict'] === 'ask' && isObject(approval)) {
      const prompt = this.prompt(call, approval);
      this.runtime.calls.add(call, hostId);
      return { ...result, requireApproval: prompt };
    }
    return block('Sharkcage: the supervisor gave no valid verdict');
  }

  private prompt(
    call: Call,
    approval: Record<string, unknown>,
  ): NonNullable<BeforeToolCallResult['requireApproval']> {
    const { request, title, description, severity, decisions } = approval;
    if (typeof request !== 'string' || typeof title !== 'string' || !Array.isArray(decisions)) {
      throw new Error('the supervisor asks for an approval that cannot be shown');
    }
    const allowed = decisions.filter((d): d is Decision => DECISIONS.some((known) => known === d));
    return {
      title,
      description: typeof description === 'string' ? description : '',
      severity: SEVERITIES.find((known) => known === severity) ?? 'critical',
      timeoutMs: APPROVAL_MS,
      allowedDecisions: allowed,
      onResolution: this.runtime.calls.ask(call, request),
    };
  }

  private requesterOf(run: string | undefined, own: Requester | undefined): Requester | undefined {
    if (run === undefined) return own;
    if (own === undefined) return this.requesters.get(run);
    this.requesters.set(run, own);
    const oldest = this.requesters.keys().next();
    if (this.requesters.size > MAX_RUNS && oldest.done !== true)
      this.requesters.delete(oldest.value);
    return own;
  }
}
