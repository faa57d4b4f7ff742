// A model for the host under test: an OpenAI-compatible server on loopback that plays scripts.
//
// A user message that holds `[script NAME]` starts a script: a list of steps, each a list of tool calls. The server answers
// the first request with the tool calls of step 0, the next with step 1 and so on, then with the text "done". Steps may be
// functions of the results so far. Everything the host sent is kept: it is what a real model's provider would have seen.

import http from 'node:http';

const kMarker = /\[script ([\w-]+)\]/;

const text_of = (message) =>
  typeof message.content === 'string'
    ? message.content
    : (message.content ?? []).map((part) => part.text ?? '').join('\n');

export class Model {
  #scripts = new Map();
  #results = new Map();
  #server;

  /** Every request body, as text, in the order of arrival. */
  requests = [];
  /** Every tool call that was answered with: {script, id, name}. */
  calls = [];
  /** The ids of those that the supervisor cannot have recorded. */
  unrecorded = [];

  async start() {
    this.#server = http.createServer((request, response) => this.#serve(request, response));
    await new Promise((ready) => this.#server.listen(0, '127.0.0.1', ready));
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/v1`;
  }

  /** Defines a script; `steps` is a list of lists of `{name, args}`. */
  script(name, steps) {
    this.#scripts.set(name, steps);
    return `[script ${name}]`;
  }

  /** The texts of the tool results that the host sent back during script `name`, in the order of the calls. */
  results(name) {
    return this.#results.get(name) ?? [];
  }

  /** Whether any request so far holds `needle`. */
  saw(needle) {
    return this.requests.some((body) => body.includes(needle));
  }

  async stop() {
    if (this.#server === undefined) return;
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  #serve(request, response) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method !== 'POST') {
        response.end('{"object":"list","data":[]}');
        return;
      }
      const body = Buffer.concat(chunks).toString('utf8');
      this.requests.push(body);
      this.#answer(JSON.parse(body).messages, response);
    });
  }

  #answer(messages, response) {
    const start = messages.findLastIndex((m) => m.role === 'user' && kMarker.test(text_of(m)));
    const name = start < 0 ? undefined : kMarker.exec(text_of(messages[start]))[1];
    const turn = messages.slice(start + 1);
    const step = turn.filter((m) => m.role === 'assistant' && m.tool_calls?.length > 0).length;
    const results = turn.filter((m) => m.role === 'tool').map(text_of);
    if (name !== undefined) this.#results.set(name, results);
    let calls = this.#scripts.get(name)?.[step];
    if (typeof calls === 'function') calls = calls(results);

    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const send = (choices, more = {}) =>
      response.write(
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices, ...more })}\n\n`,
      );
    if (calls === undefined) {
      send([{ index: 0, delta: { role: 'assistant', content: 'done' }, finish_reason: null }]);
      send([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    } else {
      const tool_calls = calls.map((call, index) => ({
        index,
        id: `${name}${step}x${index}`.replaceAll(/[^a-zA-Z0-9]/g, ''),
        type: 'function',
        function: { name: call.name, arguments: JSON.stringify(call.args) },
      }));
      for (const call of tool_calls)
        this.calls.push({ script: name, id: call.id, name: call.function.name });
      send([{ index: 0, delta: { role: 'assistant', tool_calls }, finish_reason: null }]);
      send([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]);
    }
    send([], { usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } });
    response.end('data: [DONE]\n\n');
  }
}
