// The calls that were authorized and have not finished: by the supervisor's token, and by the host's id.

import type { Resolution } from './host.js';
import type { Client } from './client.js';
import { reasonOf } from './errors.js';

/** More than a host ever has under way; the oldest are then forgotten, which blocks them. */
const MAX_CALLS = 4096;

export interface Call {
  token: string;
  session: string;
  tool: string;
  /** The parameters that were judged. */
  params: Record<string, unknown>;
  /** A person was asked, and this is their recorded answer: undefined when the call may go on, else why not. */
  answer?: Promise<string | undefined>;
  /** The person has answered and the supervisor is being told. */
  resolving?: boolean;
}

export class Calls {
  private readonly byToken = new Map<string, Call>();
  private readonly byHostId = new Map<string, Call>();

  constructor(private readonly client: Client) {}

  add(call: Call, hostId: string | undefined): void {
    this.byToken.set(call.token, call);
    if (hostId !== undefined) this.byHostId.set(hostId, call);
    for (const map of [this.byToken, this.byHostId]) {
      const oldest = map.keys().next();
      if (map.size > MAX_CALLS && oldest.done !== true) map.delete(oldest.value);
    }
  }

  get(token: string): Call | undefined {
    return this.byToken.get(token);
  }

  /** Takes the call that the host names so: it is over. */
  take(hostId: string): Call | undefined {
    const call = this.byHostId.get(hostId);
    this.byHostId.delete(hostId);
    if (call !== undefined) this.byToken.delete(call.token);
    return call;
  }

  /**
   * A person will be asked about `call`. The returned function takes their decision and sends it; the host does not wait
   * for it, so whoever starts the command does, through `call.answer`.
   */
  ask(call: Call, request: string): (decision: Resolution) => Promise<void> {
    let settle: (answer: string | undefined) => void = () => undefined;
    call.answer = new Promise((resolve) => {
      settle = resolve;
    });
    return async (decision) => {
      call.resolving = true;
      settle(await this.resolve(call.token, request, decision));
      call.resolving = false;
    };
  }

  private async resolve(
    token: string,
    request: string,
    decision: Resolution,
  ): Promise<string | undefined> {
    try {
      const { verdict, reason } = await this.client.call('approval.resolve', {
        request,
        token,
        decision,
      });
      if (verdict === 'allow') return undefined;
      return typeof reason === 'string' ? `Sharkcage: ${reason}` : 'Sharkcage: the call was denied';
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** Waits until no decision of this session is on its way to the supervisor. */
  async settled(session: string): Promise<void> {
    const pending = [...this.byToken.values()].filter(
      (call) => call.session === session && call.resolving === true,
    );
    for (const call of pending) await call.answer;
  }
}
