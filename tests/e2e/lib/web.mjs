// A web server on loopback that says who it is and remembers who asked.

import http from 'node:http';

export class Web {
  /** Paths that were asked for. */
  asked = [];
  #server;

  constructor(greeting) {
    this.greeting = greeting;
  }

  async start() {
    this.#server = http.createServer((request, response) => {
      this.asked.push(request.url);
      response.end(`${this.greeting}\n`);
    });
    await new Promise((ready) => this.#server.listen(0, '127.0.0.1', ready));
    return this;
  }

  get port() {
    return this.#server.address().port;
  }

  async stop() {
    if (this.#server === undefined) return;
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}
