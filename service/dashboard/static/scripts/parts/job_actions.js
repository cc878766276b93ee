// The buttons that stop, hold, continue, repeat and delete a job.

import { get, send } from "../api.js";
import { h } from "../dom.js";
import { confirmAction, createActionButton, showToast } from "../feedback.js";
import { canCancel, canPause, isEnded } from "./status.js";

export class JobActions {
  /** `onChange(job)` is called with the job after an action. */
  constructor(onChange) {
    this.onChange = onChange;
    this.element = h("div", { class: "buttons" });
  }

  update(job) {
    if (this.status === job.status) return;
    this.status = job.status;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.replaceChildren(...this.#create(job));
    if (hadFocus) this.element.firstElementChild?.focus();
  }

  #create(job) {
    return [
      job.model &&
        h(
          "a",
          {
            class: "button primary",
            href: `#/models/${job.model.name}?version=${job.model.version}`,
          },
          "Use the model",
        ),
      canPause(job) &&
        createActionButton("Pause", () => this.#post(job, "pause", "Paused. Its place is kept.")),
      job.status === "paused" &&
        createActionButton("Resume", () => this.#post(job, "resume", "Queued again.")),
      job.status === "failed" &&
        createActionButton("Retry", () =>
          this.#post(job, "retry", "Queued again, from the last checkpoint."),
        ),
      canCancel(job) && createActionButton("Cancel", () => this.#cancel(job)),
      h("a", { class: "button", href: `#/jobs/new?from=${job.id}` }, "New job like this…"),
      isEnded(job) && createActionButton("Delete", () => this.#delete(job), "danger"),
    ].filter(Boolean);
  }

  async #post(job, verb, text) {
    await send("POST", `/jobs/${job.id}/${verb}`);
    this.onChange(await get(`/jobs/${job.id}`));
    showToast(text);
  }

  async #cancel(job) {
    const question =
      "It cannot be continued afterwards. Its last checkpoint stays until the job is deleted.";
    if (await confirmAction(`Cancel job ${job.id}?`, question, "Cancel the job"))
      await this.#post(job, "cancel", "Cancelled.");
  }

  async #delete(job) {
    const question =
      "Its metrics, events and checkpoints go with it. A model that it produced stays.";
    if (!(await confirmAction(`Delete job ${job.id}?`, question, "Delete the job"))) return;
    await send("DELETE", `/jobs/${job.id}`);
    showToast(`Job ${job.id} is deleted.`);
    location.hash = "#/jobs";
  }
}
