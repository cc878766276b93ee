// The metrics of a job, fetched once and then only what is new.

import { get } from "../api.js";

export class Metrics {
  constructor(jobId, signal) {
    this.jobId = jobId;
    this.signal = signal;
    this.reset();
  }

  /** Forget everything: another attempt repeats what came after its checkpoint. */
  reset() {
    this.steps = [];
    this.epochs = [];
    this.cursor = null;
    this.loading = null;
  }

  /** Fetch what is new. `onPart` is called after each page, so that long runs appear at once.
   *
   * Who asks while it is being fetched waits for the same pages: twice would be once too often.
   */
  load(onPart) {
    if (!this.loading) {
      const loading = this.#load(onPart, this.steps).finally(() => {
        if (this.loading === loading) this.loading = null;
      });
      this.loading = loading;
    }
    return this.loading;
  }

  async #load(onPart, steps) {
    let hasMore = true;
    while (hasMore) {
      const page = await get(`/jobs/${this.jobId}/metrics`, {
        cursor: this.cursor,
        limit: 200,
        signal: this.signal,
      });
      if (this.steps !== steps) return; // Reset meanwhile.
      this.steps.push(...page.steps);
      this.epochs.push(...page.epochs);
      this.cursor = page.next_cursor;
      hasMore = page.has_more;
      if (page.steps.length || page.epochs.length) onPart();
    }
  }
}
