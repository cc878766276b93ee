// The frame around all pages: which page an address means, and what the header shows.

import { connection, get } from "./api.js";
import { h, setText } from "./dom.js";
import { createEmpty, createLoading, createProblem } from "./feedback.js";
import { formatCounted } from "./format.js";
import { forgetKey, hasKey, keyChanges } from "./key.js";
import { poll } from "./live.js";
import { showDataset, showDatasets } from "./pages/datasets.js";
import { showJob } from "./pages/job.js";
import { showJobs } from "./pages/jobs.js";
import { showModel, showModels } from "./pages/models.js";
import { showNetwork, showNetworks } from "./pages/networks.js";
import { showNewJob } from "./pages/new_job.js";
import { showNewSweep } from "./pages/new_sweep.js";
import { showSweep, showSweeps } from "./pages/sweeps.js";

const WORKER_POLL_SECONDS = 5;

const ROUTES = [
  [/^\/jobs$/, showJobs],
  [/^\/jobs\/new$/, showNewJob],
  [/^\/jobs\/(\d+)$/, showJob],
  [/^\/sweeps$/, showSweeps],
  [/^\/sweeps\/new$/, showNewSweep],
  [/^\/sweeps\/(\d+)$/, showSweep],
  [/^\/datasets$/, showDatasets],
  [/^\/datasets\/([^/]+)$/, showDataset],
  [/^\/networks$/, showNetworks],
  [/^\/networks\/([^/]+)$/, showNetwork],
  [/^\/models$/, showModels],
  [/^\/models\/([^/]+)$/, showModel],
];

const main = document.getElementById("content");
let leaving = new AbortController();

/** Show the page of the address. A page is `async ({main, argument, query, signal, setTitle})`. */
async function showPage({ isFirst = false } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, search = ""] = (location.hash.slice(1) || "/jobs").split("?");
  const [show, argument] = findPage(path);
  markSection(path);
  main.replaceChildren(createLoading());
  try {
    await show({ main, argument, query: new URLSearchParams(search), signal, setTitle });
  } catch (error) {
    if (signal.aborted) return;
    main.replaceChildren(createProblem(error));
  }
  if (!isFirst && !signal.aborted) moveFocus();
}

function findPage(path) {
  for (const [pattern, show] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return [show, match[1] && decodeURIComponent(match[1])];
  }
  return [showNothing, null];
}

function showNothing() {
  setTitle("Not found");
  main.replaceChildren(
    createEmpty(
      "There is no such page",
      "The address may be mistyped.",
      h("a", { class: "button", href: "#/jobs" }, "Go to the jobs"),
    ),
  );
}

function setTitle(title) {
  document.title = `${title} · Tenfold`;
}

function markSection(path) {
  for (const link of document.querySelectorAll("[data-section]")) {
    const isHere = path.startsWith(`/${link.dataset.section}`);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Tell screen readers of the new page, as a browser does when it loads one. */
function moveFocus() {
  window.scrollTo(0, 0);
  const heading = main.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  (heading || main).focus({ preventScroll: true });
}

async function showWorkers() {
  const { items } = await get("/workers");
  const element = document.getElementById("worker-state");
  element.dataset.state = items.length ? "alive" : "none";
  element.title = items.map((worker) => `${worker.id} on ${worker.device}`).join("\n");
  setText(element, items.length ? formatCounted(items.length, "worker") : "no worker");
}

document.getElementById("skip-link").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
const banner = document.getElementById("connection-lost");
connection.addEventListener("lost", () => {
  banner.hidden = false;
});
connection.addEventListener("found", () => {
  banner.hidden = true;
});
const forget = document.getElementById("forget-key");
forget.addEventListener("click", () => {
  forgetKey();
  // Nothing that the key showed stays on the page.
  location.reload();
});
keyChanges.addEventListener("changed", () => {
  forget.hidden = !hasKey();
});
forget.hidden = !hasKey();
window.addEventListener("hashchange", () => showPage());
showPage({ isFirst: true });
showWorkers().catch(() => {});
poll(showWorkers, { intervalSeconds: WORKER_POLL_SECONDS, signal: new AbortController().signal });
