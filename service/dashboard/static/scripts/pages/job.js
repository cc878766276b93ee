// One job: where it is, its curves, what happened, how it was set up, and how good it became.

import { get } from "../api.js";
import { createBar, createText, h, setText } from "../dom.js";
import { createMessage, createProblem } from "../feedback.js";
import { formatAgo, formatCount, formatDuration, formatPercent, formatTime } from "../format.js";
import { followEvents, poll } from "../live.js";
import { Curves } from "../parts/curves.js";
import { EventList } from "../parts/events.js";
import { JobActions } from "../parts/job_actions.js";
import { createSettings } from "../parts/job_settings.js";
import { createReport } from "../parts/report.js";
import { barTone, createBadge, isEnded, shareDone } from "../parts/status.js";

const POLL_SECONDS = 1;

export async function showJob({ main, argument, signal, setTitle }) {
  const jobId = Number(argument);
  setTitle(`Job ${jobId}`);
  const page = new JobPage(await get(`/jobs/${jobId}`, { signal }), signal);
  main.replaceChildren(...page.elements);
  const onError = (error) => signal.aborted || main.prepend(createProblem(error));
  page.loadCurves().catch(onError);
  // The events tell at once that something changed; the numbers between them are polled.
  poll(() => page.refresh(), { intervalSeconds: POLL_SECONDS, signal, onError });
  page.follow();
}

class JobPage {
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.badge = createBadge();
    this.actions = new JobActions((changed) => this.update(changed));
    this.notice = h("div");
    this.progress = createProgress();
    this.curves = new Curves(job, signal);
    this.reportPlace = h("div", { class: "report" });
    this.events = new EventList();
    this.elements = [
      h(
        "div",
        { class: "page-head" },
        h("p", { class: "breadcrumb" }, h("a", { href: "#/jobs" }, "Jobs")),
        h(
          "div",
          { class: "page-title" },
          h("h1", {}, `Job ${job.id}: ${job.model_name}`),
          this.badge.element,
        ),
        this.actions.element,
        h(
          "p",
          { class: "soft small", title: formatTime(job.created_at) },
          `Posted ${formatAgo(job.created_at)}`,
        ),
      ),
      this.notice,
      this.progress.element,
      this.curves.element,
      this.reportPlace,
      h("div", { class: "columns" }, createSettings(job, signal), this.events.element),
    ];
    this.update(job);
  }

  loadCurves() {
    return this.curves.load(this.job);
  }

  /** Fetch the job and its new metrics, as long as there can be any. */
  async refresh() {
    const isOver = isEnded(this.job);
    if (isOver && this.curves.isComparisonComplete()) return;
    if (!isOver) this.update(await get(`/jobs/${this.job.id}`, { signal: this.signal }));
    await this.curves.load(this.job);
  }

  /** List the events until the job has ended. */
  follow() {
    followEvents(this.job.id, { signal: this.signal, onEvent: (event) => this.#onEvent(event) });
  }

  #onEvent(event) {
    this.events.add(event);
    if (!isEnded(this.job)) this.refresh().catch(() => {});
  }

  update(job) {
    const isRevived = isEnded(this.job) && !isEnded(job);
    this.job = job;
    if (isRevived) this.follow();
    this.badge.set(job.status);
    this.actions.update(job);
    this.progress.update(job);
    this.#showNotice(job);
    if (job.status === "succeeded" && !this.hasReport) this.#showReport();
  }

  #showNotice(job) {
    const key = job.waiting_reason || job.error?.message || "";
    this.notice.hidden = !key;
    if (this.notice.dataset.key === key) return;
    this.notice.dataset.key = key;
    this.notice.replaceChildren(
      ...(key
        ? [
            job.error
              ? createFailure(job.error)
              : createMessage("warn", "Waiting for a worker", h("p", {}, createText(key))),
          ]
        : []),
    );
  }

  #showReport() {
    this.hasReport = true;
    createReport(this.job, this.signal).then(
      (report) => this.reportPlace.replaceChildren(...report),
      (error) => this.signal.aborted || this.reportPlace.replaceChildren(createProblem(error)),
    );
  }
}

function createFailure(error) {
  const copy = () => navigator.clipboard?.writeText(error.traceback);
  return createMessage(
    "bad",
    "The job failed",
    h("p", {}, createText(error.message)),
    h("p", { class: "small" }, "Code: ", h("code", {}, error.code)),
    error.traceback &&
      h(
        "details",
        {},
        h("summary", {}, "Traceback"),
        h("pre", { class: "code-block", tabindex: 0, "aria-label": "Traceback" }, error.traceback),
        // The clipboard is closed to pages that came over plain HTTP from another host.
        navigator.clipboard &&
          h("button", { class: "button small", type: "button", onclick: copy }, "Copy"),
      ),
  );
}

const TILES = {
  Epoch: ({ progress }) => `${progress.epoch} of ${progress.epochs}`,
  Step: ({ progress }) => `${formatCount(progress.step)} of ${formatCount(progress.steps)}`,
  "Images per second": ({ progress }) => formatCount(progress.images_per_second),
  "Training time": ({ progress }) => formatDuration(progress.elapsed_seconds),
};

function createProgress() {
  const bar = createBar("Progress of the job");
  const values = Object.fromEntries(Object.keys(TILES).map((name) => [name, h("dd")]));
  const last = { name: h("dt"), value: h("dd") };
  const tiles = h(
    "dl",
    { class: "tiles" },
    Object.entries(values).map(([name, value]) => h("div", {}, h("dt", {}, name), value)),
    h("div", {}, last.name, last.value),
  );
  const element = h(
    "section",
    { class: "card progress-card", "aria-label": "Progress" },
    bar.element,
    tiles,
  );
  const update = (job) => {
    bar.set(shareDone(job), {
      tone: barTone(job),
      text: `${formatPercent(shareDone(job), 0)}, ${job.status}`,
    });
    for (const [name, value] of Object.entries(values))
      setText(value, job.progress ? TILES[name](job) : "–");
    const [name, value] = describeEnd(job);
    setText(last.name, name);
    setText(last.value, value);
  };
  return { element, update };
}

function describeEnd(job) {
  if (job.model) return ["Test accuracy", formatPercent(job.model.accuracy, 2)];
  if (isEnded(job)) return ["Attempts", String(job.attempt)];
  return [
    "Time left",
    job.status === "running" && job.progress ? formatDuration(job.progress.seconds_left) : "–",
  ];
}
