// An OpenClaw gateway of its own and the operator's WebSocket to it. State, configuration and workspace are where the host has
// them by default: in ~/.openclaw of a home directory of its own.

import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { until } from './wait.mjs';

const kStart = 180_000;
const kTurn = 180_000;

const kEntry = path.join(import.meta.dirname, '../node_modules/openclaw/openclaw.mjs');

async function free_port() {
  const server = net.createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

// Where the host puts a lock for each of its databases, named after the first characters of its path's SHA-256.
const kLocks = `/tmp/openclaw-state-locks-${process.getuid()}`;

export class Gateway {
  #process;
  #socket;
  #pending = new Map();
  #events = [];
  #waiters = new Set();
  /** Who knows it commands the gateway. */
  token = randomUUID();

  /**
   * `directory` is made; `model` a started Model; `configure(config)` may change the host's configuration before it
   * starts; `env` is added to its environment.
   */
  constructor({ directory, model, configure = () => {}, env = {} }) {
    this.directory = directory;
    this.home = path.join(directory, 'home');
    this.state = path.join(this.home, '.openclaw');
    this.workspace = path.join(this.state, 'workspace');
    this.config = path.join(this.state, 'openclaw.json');
    this.temporary = path.join(directory, 'tmp');
    this.model = model;
    this.configure = configure;
    this.env = env;
  }

  get log() {
    return path.join(this.directory, 'gateway.log');
  }

  async start() {
    for (const folder of [this.state, this.temporary])
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.port = await free_port();
    const config = this.#config();
    this.configure(config);
    fs.writeFileSync(this.config, JSON.stringify(config, null, 2), { mode: 0o600 });
    const log = fs.openSync(this.log, 'a');
    this.#process = spawn(process.execPath, [kEntry, 'gateway', 'run'], {
      env: this.#environment(),
      cwd: this.directory,
      stdio: ['ignore', log, log],
    });
    fs.closeSync(log);
    await until(() => this.#ready(), kStart, `the gateway (see ${this.log})`);
    await this.#connect();
    return this;
  }

  async #ready() {
    if (this.#process.exitCode !== null) {
      throw new Error(
        `the gateway ended with ${this.#process.exitCode}:\n${fs.readFileSync(this.log, 'utf8').slice(-2000)}`,
      );
    }
    try {
      return (await fetch(`http://127.0.0.1:${this.port}/readyz`)).status === 200;
    } catch {
      return false;
    }
  }

  #environment() {
    return {
      PATH: `${path.dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: this.home,
      TMPDIR: this.temporary,
      LANG: 'C.UTF-8',
      ...this.env,
    };
  }

  #config() {
    return {
      gateway: {
        mode: 'local',
        port: this.port,
        bind: 'loopback',
        auth: { mode: 'token', token: this.token },
      },
      models: {
        mode: 'merge',
        providers: {
          scripted: {
            baseUrl: this.model.url,
            apiKey: 'none',
            api: 'openai-completions',
            models: [
              {
                id: 'm',
                name: 'm',
                reasoning: false,
                input: ['text'],
                cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
                contextWindow: 128000,
                maxTokens: 8192,
              },
            ],
          },
        },
      },
      agents: {
        defaults: {
          model: { primary: 'scripted/m' },
          skipBootstrap: true,
          heartbeat: { every: '0m' },
        },
      },
      update: { checkOnStart: false },
      logging: { file: path.join(this.directory, 'openclaw.log') },
    };
  }

  async #connect() {
    this.#socket = new WebSocket(`ws://127.0.0.1:${this.port}`);
    this.#socket.addEventListener('message', (message) => this.#receive(JSON.parse(message.data)));
    await this.event('connect.challenge');
    await this.request('connect', {
      minProtocol: 4,
      maxProtocol: 4,
      client: { id: 'cli', version: '1.0.0', platform: 'linux', mode: 'cli' },
      role: 'operator',
      scopes: ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals'],
      caps: ['approvals', 'plugin-approvals'],
      commands: [],
      permissions: {},
      auth: { token: this.token },
    });
  }

  #receive(frame) {
    if (frame.type === 'res') {
      const { resolve, reject } = this.#pending.get(frame.id) ?? {};
      this.#pending.delete(frame.id);
      if (frame.ok) resolve?.(frame.payload);
      else reject?.(new Error(`${frame.error?.code}: ${frame.error?.message}`));
    } else if (frame.type === 'event') {
      this.#events.push(frame);
      for (const waiter of this.#waiters) waiter();
    }
  }

  request(method, params) {
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ type: 'req', id, method, params }));
    });
  }

  /** The first event named `name` that satisfies `test`; it is taken, so a second call waits for the next. */
  event(name, test = () => true, timeout = kTurn) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const at = this.#events.findIndex((e) => e.event === name && test(e.payload));
        if (at < 0) return;
        clearTimeout(timer);
        this.#waiters.delete(look);
        resolve(this.#events.splice(at, 1)[0].payload);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(look);
        reject(new Error(`timed out waiting for the event ${name} (see ${this.log})`));
      }, timeout);
      this.#waiters.add(look);
      look();
    });
  }

  /** Begins a turn; returns a promise of its end. */
  async begin(session, message) {
    const { runId } = await this.request('chat.send', {
      sessionKey: session,
      message,
      idempotencyKey: randomUUID(),
    });
    return this.event(
      'chat',
      (p) => p.runId === runId && ['final', 'error', 'aborted'].includes(p.state),
    );
  }

  /** Plays a script to its end in `session` and returns the results of its tool calls as the model got them. */
  async turn(session, name, steps) {
    const message = this.model.script(name, steps);
    const end = await this.begin(session, message);
    if (end.state !== 'final')
      throw new Error(
        `the turn ${name} ended with ${end.state}: ${JSON.stringify(end).slice(0, 500)}`,
      );
    return this.model.results(name);
  }

  /** The same for a run at whose other end no person can be asked: no channel started it. */
  async promptlessTurn(session, name, steps) {
    const message = this.model.script(name, steps);
    const { runId } = await this.request('agent', {
      message,
      sessionKey: session,
      idempotencyKey: randomUUID(),
    });
    const end = await this.request('agent.wait', { runId, timeoutMs: kTurn });
    if (end.status !== 'ok')
      throw new Error(`the turn ${name} ended with ${JSON.stringify(end).slice(0, 500)}`);
    return this.model.results(name);
  }

  /** The next approval prompt, as a person sees it. */
  async prompt() {
    const { id, request } = await this.event('plugin.approval.requested');
    return { id, ...request };
  }

  /** A person's answer to it. */
  async decide(id, decision) {
    await this.request('plugin.approval.resolve', { id, decision });
  }

  async stop() {
    this.#socket?.close();
    if (
      this.#process === undefined ||
      this.#process.exitCode !== null ||
      this.#process.signalCode !== null
    )
      return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }

  /** Removes what the host left outside of its directory: the locks of its databases. Only after `stop`. */
  removeLocks() {
    if (!fs.existsSync(kLocks) || !fs.existsSync(this.state)) return;
    const databases = fs
      .readdirSync(this.state, { recursive: true })
      .filter((file) => file.endsWith('.sqlite'));
    for (const database of databases) {
      const hash = createHash('sha256')
        .update(path.join(this.state, database))
        .digest('hex')
        .slice(0, 8);
      for (const kind of ['gateway-lifecycle', 'state-handles', 'state-lifecycle']) {
        fs.rmSync(path.join(kLocks, `${kind}.${hash}.lock.sqlite`), { force: true });
      }
    }
    if (fs.readdirSync(kLocks).length === 0) fs.rmdirSync(kLocks);
  }
}
