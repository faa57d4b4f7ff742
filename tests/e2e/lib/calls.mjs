// One step of a script for the model (lib/model.mjs): one tool call each.

/** A command; the host waits for its end instead of sending it to the background after some seconds. */
export const exec = (command, more = {}) => [
  { name: 'exec', args: { command, yieldMs: 110_000, ...more } },
];
export const read = (path) => [{ name: 'read', args: { path } }];
export const write = (path, content) => [{ name: 'write', args: { path, content } }];
export const edit = (path, oldText, newText) => [
  { name: 'edit', args: { path, edits: [{ oldText, newText }] } },
];
