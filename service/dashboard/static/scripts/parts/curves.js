// Loss and accuracy while a job trains and afterwards, alone or beside another job's.

import { get } from "../api.js";
import { createTable, h, setText } from "../dom.js";
import { runAction } from "../feedback.js";
import { formatCount, formatDuration, formatNumber, formatPercent } from "../format.js";
import { Chart } from "./chart.js";
import { onSchemeChange } from "./colours.js";
import { Metrics } from "./metrics.js";
import { createPictureLinks } from "./picture_links.js";
import { smooth } from "./smoothing.js";

const DEFAULT_SMOOTHING = 0.6;
// A long run comes in hundreds of pages: drawing each would take longer than fetching them.
const DRAW_INTERVAL_MILLISECONDS = 150;
const COMPARABLE_JOBS = 200;

const X_AXES = {
  epoch: {
    name: "Epoch",
    of: (row, stepsPerEpoch) => row.step / stepsPerEpoch,
    format: (value) => String(Number(value.toFixed(2))),
  },
  step: { name: "Step", of: (row) => row.step, format: formatCount },
  time: {
    name: "Training time",
    of: (row) => row.elapsed_seconds,
    format: (value) => (value ? formatDuration(value) : "0"),
  },
};

export class Curves {
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.metrics = new Metrics(job.id, signal);
    this.view = { smoothing: DEFAULT_SMOOTHING, isLog: false, axis: "epoch", range: null };
    const onZoom = (range) => this.#set({ range });
    this.loss = new Chart({ title: "Loss", format: formatNumber, onZoom });
    this.accuracy = new Chart({
      title: "Accuracy",
      format: (share) => formatPercent(share),
      formatTick: formatPercentTick,
      onZoom,
    });
    this.seen = h("p", { class: "soft small", role: "status" });
    this.numbers = h(
      "details",
      { ontoggle: () => this.#listEpochs() },
      h("summary", {}, "The epochs as a table"),
      h("div"),
    );
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "curves-title" },
      h("h2", { id: "curves-title" }, "Curves"),
      this.#createTools(),
      h("div", { class: "curve-pair" }, this.loss.element, this.accuracy.element),
      this.seen,
      this.numbers,
      createPictureLinks(`/jobs/${job.id}/curves`, "Curves"),
    );
    onSchemeChange(() => this.#draw(), signal);
    signal.addEventListener("abort", () =>
      [this.loss, this.accuracy].forEach((chart) => chart.destroy()),
    );
  }

  /** Fetch what is new of the job, and of the one it is compared with. */
  async load(job) {
    if (job.attempt !== this.job.attempt) this.metrics.reset();
    this.job = job;
    await this.metrics.load(() => this.#drawSoon());
    if (this.other && !this.other.isComplete) await this.other.metrics.load(() => this.#drawSoon());
  }

  /** Tell whether nothing can come any more from the job that this one is compared with. */
  isComparisonComplete() {
    return !this.other || this.other.isComplete;
  }

  #createTools() {
    const smoothing = h("input", {
      type: "range",
      min: 0,
      max: 0.98,
      step: 0.02,
      value: DEFAULT_SMOOTHING,
      oninput: () => this.#set({ smoothing: Number(smoothing.value) }),
    });
    const log = h("input", { type: "checkbox", onchange: () => this.#set({ isLog: log.checked }) });
    const axis = h(
      "select",
      { class: "compact", onchange: () => this.#set({ axis: axis.value, range: null }) },
      Object.entries(X_AXES).map(([key, { name }]) => h("option", { value: key }, name)),
    );
    const move = (label, sign, ...by) =>
      h(
        "button",
        {
          class: "button small icon",
          type: "button",
          "aria-label": label,
          title: label,
          onclick: () => this.loss.move(...by),
        },
        sign,
      );
    return h(
      "div",
      { class: "curve-tools" },
      h("label", { class: "inline-field" }, "Smoothing", smoothing),
      h("label", { class: "inline-field" }, log, "Log axis for the loss"),
      h("label", { class: "inline-field" }, "Along", axis),
      this.#createComparison(),
      h(
        "div",
        { class: "buttons", role: "group", "aria-label": "Zoom" },
        move("Zoom in", "+", "zoom", 0.5),
        move("Zoom out", "−", "zoom", 2),
        move("Move left", "←", "pan", -0.25),
        move("Move right", "→", "pan", 0.25),
        h(
          "button",
          { class: "button small", type: "button", onclick: () => this.#set({ range: null }) },
          "Show all",
        ),
      ),
    );
  }

  #createComparison() {
    const select = h(
      "select",
      {
        class: "compact",
        onchange: () => runAction(select, () => this.#compare(Number(select.value))),
      },
      h("option", { value: 0 }, "no other job"),
    );
    const fill = async () => {
      const { items } = await get("/jobs", { limit: COMPARABLE_JOBS, signal: this.signal });
      const known = new Set([...select.options].map((option) => Number(option.value)));
      const options = items.filter(
        (job) => job.id !== this.job.id && job.progress && !known.has(job.id),
      );
      select.append(
        ...options.map((job) =>
          h(
            "option",
            { value: job.id },
            `#${job.id} ${job.model_name}${job.model ? ` · ${formatPercent(job.model.accuracy)}` : ""}`,
          ),
        ),
      );
    };
    fill().catch(() => {});
    // What has begun since the page was opened.
    select.addEventListener("focus", () => fill().catch(() => {}));
    return h("label", { class: "inline-field" }, "Compare with", select);
  }

  async #compare(jobId) {
    this.other = null;
    if (jobId) {
      const job = await get(`/jobs/${jobId}`, { signal: this.signal });
      const metrics = new Metrics(jobId, this.signal);
      await metrics.load(() => {});
      this.other = { job, metrics, isComplete: job.finished_at !== null };
    }
    this.#draw();
  }

  #set(change) {
    Object.assign(this.view, change);
    this.#draw();
  }

  #drawSoon() {
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      this.#draw();
    }, DRAW_INTERVAL_MILLISECONDS);
  }

  #draw() {
    if (this.signal.aborted) return;
    const axis = X_AXES[this.view.axis];
    const view = { xName: axis.name, formatX: axis.format, range: this.view.range };
    const compared = this.other
      ? this.#linesOf(this.other.job, this.other.metrics, true)
      : { loss: [], accuracy: [] };
    const own = this.#linesOf(this.job, this.metrics, false);
    this.loss.draw([...own.loss, ...compared.loss], { ...view, isLog: this.view.isLog });
    this.accuracy.draw([...own.accuracy, ...compared.accuracy], { ...view, isLog: false });
    setText(
      this.seen,
      view.range
        ? `${axis.name} ${axis.format(view.range[0])} to ${axis.format(view.range[1])}`
        : "",
    );
    this.#listEpochs();
  }

  #linesOf(job, { steps, epochs }, isCompared) {
    const prefix = isCompared ? `#${job.id} ` : "";
    const line = (name, rows, column, colour, more = {}) => ({
      name: prefix + name,
      ...this.#column(job, rows, column),
      colour,
      isCompared,
      ...more,
    });
    const raw = line("Running", steps, "loss", "--chart-running");
    const running = { ...raw, y: smooth(raw.y, this.view.smoothing) };
    const isSmoothed = this.view.smoothing > 0 && !isCompared;
    return {
      loss: [
        ...(isSmoothed
          ? [{ ...raw, name: `${raw.name} (as reported)`, isFaint: true, rawOf: raw.name }]
          : []),
        running,
        line("Training", epochs, "train_loss", "--chart-train", { hasPoints: true }),
        line("Test", epochs, "test_loss", "--chart-test", { hasPoints: true }),
      ],
      accuracy: [
        line("Training", epochs, "train_accuracy", "--chart-train", { hasPoints: true }),
        line("Test", epochs, "test_accuracy", "--chart-test", { hasPoints: true }),
      ],
    };
  }

  #column(job, rows, column) {
    const stepsPerEpoch = job.progress ? job.progress.steps / job.progress.epochs : 1;
    const { of } = X_AXES[this.view.axis];
    return { x: rows.map((row) => of(row, stepsPerEpoch)), y: rows.map((row) => row[column]) };
  }

  #listEpochs() {
    if (!this.numbers.open || this.listed === this.metrics.epochs.length) return;
    this.listed = this.metrics.epochs.length;
    this.numbers.lastChild.replaceWith(createTable("Epochs", EPOCH_COLUMNS, this.metrics.epochs));
  }
}

function formatPercentTick(share) {
  return `${Number((share * 100).toFixed(2))} %`;
}

const EPOCH_COLUMNS = [
  { name: "Epoch", cell: (row) => row.epoch },
  { name: "Training loss", number: true, cell: (row) => formatNumber(row.train_loss) },
  { name: "Test loss", number: true, cell: (row) => formatNumber(row.test_loss) },
  { name: "Training accuracy", number: true, cell: (row) => formatPercent(row.train_accuracy) },
  { name: "Test accuracy", number: true, cell: (row) => formatPercent(row.test_accuracy) },
  { name: "Learning rate", number: true, cell: (row) => formatNumber(row.learning_rate) },
  { name: "Images/s", number: true, cell: (row) => formatCount(row.images_per_second) },
  { name: "Time", number: true, cell: (row) => formatDuration(row.elapsed_seconds) },
];
