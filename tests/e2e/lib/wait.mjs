const kPoll = 20;

/** Waits until `condition()` is true; rejects after `timeout` ms, naming `what` was waited for. */
export async function until(condition, timeout, what) {
  const deadline = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`);
    await new Promise((resume) => setTimeout(resume, kPoll));
  }
}
