// A client of the supervisor's socket (docs/protocol.md) with nothing in between.

import net from 'node:net';

export class Rpc {
  #socket;
  #lastId = 0;
  #waiting = new Map();
  #text = '';

  /** Connects and says hello; the socket is that of the instance in `home`. */
  async connect(home) {
    this.#socket = net.connect(`${home}/run/supervisor.sock`);
    await new Promise((connected, failed) => {
      this.#socket.once('connect', connected);
      this.#socket.once('error', failed);
    });
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error('the supervisor ended the connection'));
      this.#waiting.clear();
    });
    await this.call('hello', { client: 'e2e', versions: [1] });
    return this;
  }

  call(method, params) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    });
  }

  close() {
    this.#socket.destroy();
  }

  #receive(chunk) {
    this.#text += chunk.toString('utf8');
    const lines = this.#text.split('\n');
    this.#text = lines.pop();
    for (const line of lines) {
      const { id, result, error } = JSON.parse(line);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
    }
  }
}
