// The connection to the supervisor: JSON-RPC 2.0, one object a line (docs/protocol.md).
//
// It is made on the first call and again whenever it was lost; a call that was under way when the connection ended fails and is
// not repeated, since the supervisor may have acted on it. Every call has a time limit that covers connecting.

import type { Socket } from 'node:net';

import { SupervisorError, UnreachableError } from './errors.js';
import { LineReader, MAX_LINE } from './lines.js';
import { openConnection } from './socket.js';

const PROTOCOL_VERSION = 1;
const CLIENT = 'openclaw-plugin 0.1.0';

/** The host blocks a tool call by itself when its hook takes 15 s; this says why before that. */
export const CALL_LIMIT_MS = 10_000;

type Json = Record<string, unknown>;

interface Waiting {
  resolve: (result: Json) => void;
  reject: (error: Error) => void;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class Connection {
  /** The supervisor's instance: what it handed out is gone when this changes. */
  instance = '';
  private readonly lines = new LineReader();
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private ended: Error | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.receive(chunk);
    });
    socket.on('error', (error) => {
      this.end(new UnreachableError(`the connection to the supervisor failed: ${error.message}`));
    });
    socket.on('close', () => {
      this.end(new UnreachableError('the supervisor ended the connection'));
    });
    // An idle connection must not keep a one-shot run of the host alive.
    socket.unref();
  }

  get usable(): boolean {
    return this.ended === undefined;
  }

  async hello(): Promise<void> {
    const answer = await this.call('hello', { client: CLIENT, versions: [PROTOCOL_VERSION] });
    if (typeof answer['instance'] !== 'string') {
      throw new UnreachableError('what answers at the socket is not a Sharkcage supervisor');
    }
    this.instance = answer['instance'];
  }

  /** `signal` gives up waiting; a late answer is then ignored. */
  call(method: string, params: Json, signal?: AbortSignal): Promise<Json> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = ++this.lastId;
    const line = JSON.stringify({ jsonrpc: '2.0', id, method, params });
    if (Buffer.byteLength(line) > MAX_LINE) {
      return Promise.reject(new Error(`${method}: the parameters exceed ${MAX_LINE} bytes`));
    }
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      signal?.addEventListener('abort', () => this.forget(id), { once: true });
      this.socket.ref();
      this.socket.write(`${line}\n`);
    });
  }

  end(reason: Error): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    this.socket.destroy();
    for (const { reject } of this.waiting.values()) reject(reason);
    this.waiting.clear();
  }

  private forget(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (this.waiting.size === 0) this.socket.unref();
    return waiting;
  }

  private receive(chunk: Buffer): void {
    try {
      for (const line of this.lines.append(chunk)) this.dispatch(JSON.parse(line));
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.end(new UnreachableError(`the supervisor sent what is not the protocol: ${detail}`));
    }
  }

  private dispatch(message: unknown): void {
    if (!isObject(message)) throw new Error('a message that is no object');
    // Notifications concern commands that a connection opened; this one opens none.
    if (typeof message['id'] !== 'number') return;
    const waiting = this.forget(message['id']);
    if (waiting === undefined) return;
    const { error, result } = message;
    if (isObject(error)) waiting.reject(toError(error));
    else if (isObject(result)) waiting.resolve(result);
    else waiting.reject(new UnreachableError('the supervisor sent an answer without a result'));
  }
}

function toError(error: Json): SupervisorError {
  const data = isObject(error['data']) ? error['data'] : {};
  return new SupervisorError(
    typeof error['code'] === 'number' ? error['code'] : 0,
    typeof error['message'] === 'string' ? error['message'] : 'an error without a message',
    typeof data['remedy'] === 'string' ? data['remedy'] : undefined,
  );
}

/** The supervisor was restarted: what an earlier instance was told and gave is gone. Nothing was sent. */
export class InstanceChanged extends UnreachableError {
  constructor() {
    super('the supervisor was restarted in the middle of the call', 'Try again.');
  }
}

export class Client {
  private connection: Promise<Connection> | undefined;
  private closed = false;

  /** `socket` is asked for at each attempt to connect. */
  constructor(
    private readonly socket: () => string,
    private readonly limitMs: number = CALL_LIMIT_MS,
  ) {}

  /**
   * The result of a request. With `instance`, it is sent only to that instance of the supervisor. Rejects with
   * SupervisorError, UnreachableError, InstanceChanged.
   */
  async call(method: string, params: Json, instance?: string): Promise<Json> {
    return this.limited(method, async (signal) => {
      const connection = await this.connected();
      signal.throwIfAborted(); // whoever asked has been told that there was no answer
      if (instance !== undefined && connection.instance !== instance) throw new InstanceChanged();
      return connection.call(method, params, signal);
    });
  }

  /** The instance of the supervisor that answers now. */
  async instance(): Promise<string> {
    return this.limited('hello', async () => (await this.connected()).instance);
  }

  close(): void {
    this.closed = true;
    this.connection
      ?.then((connection) => {
        connection.end(new UnreachableError('the plugin was unloaded'));
      })
      .catch(() => undefined);
  }

  private async connected(): Promise<Connection> {
    if (this.closed) throw new UnreachableError('the plugin was unloaded', 'Load it again.');
    const current = this.connection;
    if (current !== undefined) {
      const connection = await current.catch(() => undefined);
      if (connection?.usable === true) return connection;
      if (this.connection === current) this.connection = undefined;
    }
    this.connection ??= this.connect();
    return this.connection;
  }

  private async connect(): Promise<Connection> {
    const connection = new Connection(await openConnection(this.socket()));
    const patience = setTimeout(() => {
      connection.end(new UnreachableError('the supervisor does not answer hello'));
    }, this.limitMs);
    try {
      await connection.hello();
      return connection;
    } catch (error) {
      connection.end(new UnreachableError('the supervisor did not accept this client'));
      throw error;
    } finally {
      clearTimeout(patience);
    }
  }

  private async limited<T>(method: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const patience = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        patience.abort();
        reject(
          new UnreachableError(
            `the supervisor did not answer ${method} within ${this.limitMs / 1000} s`,
            'See sc status, and restart it with: sc stop; sc start',
          ),
        );
      }, this.limitMs);
    });
    try {
      return await Promise.race([work(patience.signal), limit]);
    } finally {
      clearTimeout(timer);
    }
  }
}
