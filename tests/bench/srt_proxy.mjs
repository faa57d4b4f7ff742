// srt's own proxy as its sandboxes use it, without the sandbox: prints one line of JSON with port,
// user name and password, and runs until its standard input ends.
//
//   node srt_proxy.mjs HOST...     hosts that may be reached
import { SandboxManager } from "./node_modules/@anthropic-ai/sandbox-runtime/dist/index.js";

await SandboxManager.initialize({
  network: { allowedDomains: process.argv.slice(2), deniedDomains: [] },
  filesystem: { denyRead: [], allowWrite: [], denyWrite: [] },
});
const port = SandboxManager.getSocksProxyPort();
console.log(JSON.stringify({ port, user: "srt", password: SandboxManager.getProxyAuthToken() }));
process.stdin.resume();
process.stdin.on("end", async () => {
  await SandboxManager.reset();
  process.exit(0);
});
