// The plugin without its before_tool_call hook: what happens when nothing authorizes a call.

import plugin from './dist/index.js';

export default {
  ...plugin,
  register(api) {
    const on = (hook, ...rest) => (hook === 'before_tool_call' ? undefined : api.on(hook, ...rest));
    plugin.register(
      new Proxy(api, { get: (target, key) => (key === 'on' ? on : Reflect.get(target, key)) }),
    );
  },
};
