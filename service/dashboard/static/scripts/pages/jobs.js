// All jobs, newest first, a page at a time: with thousands of them only what is seen is fetched.

import { get } from "../api.js";
import { createBar, createText, h, setText } from "../dom.js";
import { createEmpty, createMessage, createProblem } from "../feedback.js";
import {
  formatAgo,
  formatCount,
  formatDuration,
  formatName,
  formatPercent,
  formatTime,
} from "../format.js";
import { poll } from "../live.js";
import { barTone, createBadge, shareDone, STATUSES } from "../parts/status.js";

const PAGE_SIZE = 25;
const POLL_SECONDS = 1.5;

export async function showJobs({ main, query, signal, setTitle }) {
  setTitle("Jobs");
  const filter = { status: query.get("status"), cursor: query.get("cursor") };
  const list = createJobList(filter);
  const load = async () => list.update(await get("/jobs", { ...filter, limit: PAGE_SIZE, signal }));
  await load();
  main.replaceChildren(createHead(), createFilters(filter.status), list.element);
  poll(load, {
    intervalSeconds: POLL_SECONDS,
    signal,
    onError: (error) => main.prepend(createProblem(error)),
  });
}

function createHead() {
  const number = h("input", {
    type: "text",
    inputmode: "numeric",
    class: "compact",
    size: 7,
    placeholder: "Job no.",
    "aria-label": "Go to the job with this number",
  });
  const open = (event) => {
    event.preventDefault();
    const id = Number.parseInt(number.value, 10);
    if (id > 0) location.hash = `#/jobs/${id}`;
    else number.focus();
  };
  return h(
    "div",
    { class: "page-head" },
    h("h1", {}, "Jobs"),
    h(
      "div",
      { class: "buttons" },
      h(
        "form",
        { class: "buttons", onsubmit: open },
        number,
        h("button", { class: "button small" }, "Open"),
      ),
      h("a", { class: "button primary", href: "#/jobs/new" }, "New job"),
    ),
  );
}

function createFilters(status) {
  const link = (name, label) =>
    h(
      "a",
      {
        class: "chip",
        href: name ? `#/jobs?status=${name}` : "#/jobs",
        "aria-current": name === status ? "true" : null,
      },
      label,
    );
  return h(
    "nav",
    { class: "chips", "aria-label": "Filter by status" },
    link(null, "All"),
    STATUSES.map((name) => link(name, formatName(name))),
  );
}

function createJobList(filter) {
  const waiting = h("div");
  const list = h("ol", { class: "job-list" });
  const pages = h("nav", { class: "buttons", "aria-label": "Pages" });
  const element = h("div", { class: "job-list-frame" }, waiting, list, pages);
  const rows = new Map();

  const update = ({ items, next_cursor: nextCursor }) => {
    for (const job of items) {
      if (!rows.has(job.id)) rows.set(job.id, createJobRow());
      rows.get(job.id).update(job);
    }
    const elements = items.map((job) => rows.get(job.id).element);
    // Moving rows would take the focus away from the one that has it.
    const isSame =
      elements.length === list.children.length &&
      elements.every((row, place) => row === list.children[place]);
    if (!isSame) list.replaceChildren(...elements);
    for (const id of rows.keys()) if (!items.some((job) => job.id === id)) rows.delete(id);
    showReason(items.find((job) => job.waiting_reason)?.waiting_reason);
    showPages(nextCursor);
    list.hidden = items.length === 0;
    const empty = element.querySelector(".empty");
    if (items.length) empty?.remove();
    else if (!empty) element.append(createNoJobs(filter));
  };
  const showReason = (reason) => {
    if (waiting.dataset.reason === String(reason)) return;
    waiting.dataset.reason = String(reason);
    waiting.replaceChildren(
      ...(reason
        ? [createMessage("warn", "Jobs are waiting", h("p", {}, createText(reason)))]
        : []),
    );
  };
  const showPages = (nextCursor) => {
    const key = `${filter.cursor}/${nextCursor}`;
    if (pages.dataset.key === key) return;
    pages.dataset.key = key;
    const to = (cursor) =>
      `#/jobs?${new URLSearchParams({ ...(filter.status && { status: filter.status }), ...(cursor && { cursor }) })}`;
    pages.replaceChildren(
      ...(filter.cursor ? [h("a", { class: "button small", href: to(null) }, "← Newest")] : []),
      ...(nextCursor ? [h("a", { class: "button small", href: to(nextCursor) }, "Older →")] : []),
    );
  };
  return { element, update };
}

function createNoJobs(filter) {
  if (filter.status) {
    return createEmpty(
      `No job is ${filter.status}`,
      "Jobs of this status appear here by themselves.",
      h("a", { class: "button", href: "#/jobs" }, "Show all jobs"),
    );
  }
  return createEmpty(
    "No jobs yet",
    "A job trains an image classifier. The built-in data set of drawn shapes needs no download and is done in well under a minute.",
    h("a", { class: "button primary", href: "#/jobs/new?dataset=shapes" }, "Train on shapes"),
  );
}

function createJobRow() {
  const title = h("a", { class: "job-row-title" });
  const number = h("span", { class: "soft" });
  const about = h("p", { class: "soft small job-row-about" });
  const badge = createBadge();
  const bar = createBar("Progress");
  const state = h("p", { class: "small job-row-state" });
  const result = h("p", { class: "job-row-result" });
  const element = h(
    "li",
    { class: "job-row" },
    h("div", { class: "job-row-name" }, h("p", {}, title, " ", number), about),
    h("div", { class: "job-row-badge" }, badge.element),
    h("div", { class: "job-row-progress" }, bar.element, state),
    result,
  );
  let shown = "";
  const update = (job) => {
    setText(about, describe(job));
    const news = JSON.stringify([job.status, job.progress, job.model, job.error?.message]);
    if (news === shown) return;
    shown = news;
    title.href = `#/jobs/${job.id}`;
    setText(title, job.model_name);
    setText(number, `#${job.id}`);
    about.title = formatTime(job.created_at);
    badge.set(job.status);
    setText(state, describeState(job));
    bar.set(shareDone(job), { tone: barTone(job), text: describeState(job) || job.status });
    result.replaceChildren(...describeResult(job));
  };
  return { element, update };
}

function describe(job) {
  return `${job.spec.network} on ${job.spec.dataset} · ${job.request.recipe || "tutorial"} · ${formatAgo(job.created_at)}`;
}

const STATES = { queued: "waits for its turn", running: "preparing the images" };

function describeState(job) {
  const { progress } = job;
  if (job.status === "failed") return job.error?.message || "";
  if (!progress) return STATES[job.status] || "";
  if (job.status === "succeeded")
    return `${formatCount(progress.epochs)} epochs in ${formatDuration(progress.elapsed_seconds)}`;
  return `epoch ${progress.epoch} of ${progress.epochs} · ${formatCount(progress.images_per_second)} images/s`;
}

function describeResult(job) {
  if (job.model)
    return [
      h("strong", {}, formatPercent(job.model.accuracy)),
      h("span", { class: "soft small" }, " accuracy"),
    ];
  if (job.status === "running" && job.progress) {
    return [
      h("strong", {}, formatDuration(job.progress.seconds_left)),
      h("span", { class: "soft small" }, " left"),
    ];
  }
  return [];
}
