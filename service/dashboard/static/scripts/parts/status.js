// How a job's status looks, and what can be done in it.

import { h, setText } from "../dom.js";

const TONES = {
  running: "active",
  succeeded: "good",
  failed: "bad",
  cancelled: null,
  paused: "warn",
  cancelling: "warn",
  queued: null,
};
const BAR_TONES = {
  succeeded: "good",
  failed: "bad",
  cancelled: "quiet",
  paused: "warn",
  cancelling: "warn",
  queued: "quiet",
};

export const STATUSES = ["running", "queued", "paused", "succeeded", "failed", "cancelled"];

export function isEnded(job) {
  return ["succeeded", "failed", "cancelled"].includes(job.status);
}

export function canPause(job) {
  return ["queued", "running"].includes(job.status);
}

export function canCancel(job) {
  return ["queued", "running", "paused"].includes(job.status);
}

export function barTone(job) {
  return BAR_TONES[job.status];
}

export function createBadge() {
  const element = h("span", { class: "badge" });
  return {
    element,
    set(status) {
      setText(element, status);
      if (TONES[status]) element.dataset.tone = TONES[status];
      else delete element.dataset.tone;
    },
  };
}

/** How much of the job is done, from 0 to 1. */
export function shareDone(job) {
  if (job.status === "succeeded") return 1;
  return job.progress?.steps ? job.progress.step / job.progress.steps : 0;
}
