// Counts checks and prints a line for each.

export class Report {
  passed = 0;
  failed = 0;

  /** One promise and whether it holds. `seen` is printed when it does not. */
  check(promise, holds, seen) {
    if (holds) {
      this.passed += 1;
      console.log(`ok      ${promise}`);
      return;
    }
    this.failed += 1;
    console.log(`NOT OK  ${promise}`);
    if (seen !== undefined)
      console.log(
        `        seen: ${typeof seen === 'string' ? seen : JSON.stringify(seen)}`.slice(0, 2000),
      );
  }

  /** The attack of a protective check, with the protection taken away: it must work there, or the check proves nothing. */
  control(what, works, seen) {
    this.check(`control: ${what}`, works, seen);
  }

  /** Runs one scenario; an exception is one failed check, and the next scenario runs. */
  async scenario(name, body) {
    const started = Date.now();
    console.log(`\n${name}`);
    try {
      await body();
    } catch (error) {
      this.check(`${name} runs to its end`, false, error.stack);
    }
    console.log(`        (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  }

  /** The counts, in the form of node --test. */
  end() {
    console.log(`\n# pass ${this.passed}\n# fail ${this.failed}`);
  }
}
