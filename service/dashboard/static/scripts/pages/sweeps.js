// Many jobs that differ in some fields: which are under way, and which of their trials is best.

import { get, getAll, send } from "../api.js";
import { createBar, createTable, h, setText } from "../dom.js";
import {
  confirmAction,
  createActionButton,
  createEmpty,
  createProblem,
  showToast,
} from "../feedback.js";
import { formatAgo, formatName, formatNumber, formatPercent, formatTime } from "../format.js";
import { poll } from "../live.js";
import { barTone, createBadge, isEnded } from "../parts/status.js";

const POLL_SECONDS = 1.5;

export async function showSweeps({ main, signal, setTitle }) {
  setTitle("Sweeps");
  const list = h("section", { class: "card", "aria-label": "Sweeps" });
  const load = async () => list.replaceChildren(createList(await getAll("/sweeps", { signal })));
  await load();
  main.replaceChildren(
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, "Sweeps"),
      h(
        "div",
        { class: "buttons" },
        h("a", { class: "button primary", href: "#/sweeps/new" }, "New sweep"),
      ),
      h(
        "p",
        { class: "lead" },
        "A sweep trains many jobs that differ in some fields, and finds the best of them.",
      ),
    ),
    list,
  );
}

function createList(sweeps) {
  if (!sweeps.length) {
    return createEmpty(
      "No sweeps yet",
      "Which learning rate is best for your images, and which batch size? A sweep tries them out and ranks what it found.",
      h("a", { class: "button primary", href: "#/sweeps/new" }, "Try it"),
    );
  }
  return createTable(
    "Sweeps",
    [
      { name: "Sweep", cell: ({ id }) => h("a", { href: `#/sweeps/${id}` }, `Sweep ${id}`) },
      { name: "Status", cell: ({ status }) => createStatus(status) },
      { name: "Fields", cell: ({ request }) => listNames(request.space) },
      { name: "Trials", number: true, cell: (sweep) => `${countEnded(sweep)} of ${sweep.trials}` },
      {
        name: "Best",
        number: true,
        cell: ({ best }) => formatPercent(best?.validation_accuracy, 2),
      },
      {
        name: "Begun",
        cell: ({ created_at: at }) => h("span", { title: formatTime(at) }, formatAgo(at)),
      },
    ],
    sweeps,
  );
}

export async function showSweep({ main, argument, signal, setTitle }) {
  const path = `/sweeps/${Number(argument)}`;
  setTitle(`Sweep ${Number(argument)}`);
  const page = createPage(await get(path, { signal }));
  main.replaceChildren(...page.elements);
  poll(async () => !isEnded(page.sweep) && page.update(await get(path, { signal })), {
    intervalSeconds: POLL_SECONDS,
    signal,
    onError: (error) => main.prepend(createProblem(error)),
  });
}

function createPage(first) {
  const badge = createBadge();
  const actions = h("div", { class: "buttons" });
  const notice = h("div");
  const bar = createBar("Trials that have ended");
  const tiles = h("dl", { class: "tiles" });
  const ranking = h("div");
  let shown = "";
  const page = {
    sweep: first,
    elements: [
      h(
        "div",
        { class: "page-head" },
        h("p", { class: "breadcrumb" }, h("a", { href: "#/sweeps" }, "Sweeps")),
        h(
          "div",
          { class: "page-title" },
          h("h1", {}, `Sweep ${first.id}: ${first.model_name}`),
          badge.element,
        ),
        actions,
        h(
          "p",
          { class: "soft small", title: formatTime(first.created_at) },
          `Posted ${formatAgo(first.created_at)}`,
        ),
      ),
      notice,
      h("section", { class: "card progress-card", "aria-label": "Progress" }, bar.element, tiles),
      h(
        "section",
        { class: "card", "aria-labelledby": "ranking-title" },
        h("h2", { id: "ranking-title" }, "Trials"),
        h(
          "p",
          { class: "soft" },
          "Ranked by their accuracy on training images that were held out, never on the test images. The best so far is published.",
        ),
        ranking,
      ),
      createRequest(first),
    ],
    update(sweep) {
      page.sweep = sweep;
      const news = JSON.stringify(sweep);
      if (news === shown) return;
      shown = news;
      badge.set(sweep.status);
      actions.replaceChildren(...createActions(page));
      notice.replaceChildren(...(sweep.error ? [createProblem(sweep.error)] : []));
      const told = `${countEnded(sweep)} of ${sweep.trials}`;
      bar.set(countEnded(sweep) / sweep.trials, { tone: barTone(sweep), text: told });
      tiles.replaceChildren(...createTiles(sweep, told));
      replaceTable(ranking, createRanking(sweep));
    },
  };
  page.update(first);
  return page;
}

function createTiles(sweep, ended) {
  const values = {
    "Trials ended": ended,
    "Stopped early": String(sweep.pruned),
    "Best accuracy": formatPercent(sweep.best?.validation_accuracy, 2),
    ...Object.fromEntries(
      Object.entries(sweep.best?.params || {}).map(([name, value]) => [
        `Best ${formatName(name).toLowerCase()}`,
        formatValue(value),
      ]),
    ),
  };
  return Object.entries(values).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value)),
  );
}

/** Put a new table in the place of the old one, and leave it scrolled and focused as it was. */
function replaceTable(place, table) {
  const old = place.firstElementChild;
  const hadFocus = old !== null && old === document.activeElement;
  place.replaceChildren(table);
  if (old) table.scrollTop = old.scrollTop;
  if (hadFocus) table.focus({ preventScroll: true });
}

function createRanking({ request, ranking }) {
  const fields = Object.keys(request.space).map((name) => ({
    name: formatName(name),
    number: true,
    cell: ({ params }) => formatValue(params[name]),
  }));
  return createTable(
    "Trials, the best on top",
    [
      {
        name: "Trial",
        cell: ({ number, job_id: job }) =>
          h("a", { href: `#/jobs/${job}`, title: `Job ${job}` }, `Trial ${number}`),
      },
      { name: "Status", cell: describeTrial },
      ...fields,
      { name: "Epochs", number: true, cell: ({ epoch }) => String(epoch) },
      {
        name: "Accuracy",
        number: true,
        cell: ({ validation_accuracy: accuracy }) => formatPercent(accuracy, 2),
      },
      {
        name: "Model",
        cell: ({ model }) =>
          model
            ? h(
                "a",
                { href: `#/models/${model.name}?version=${model.version}` },
                `version ${model.version}`,
              )
            : "–",
      },
    ],
    ranking,
  );
}

function describeTrial({ status, pruned_after_epoch: epoch }) {
  return epoch === null ? createStatus(status) : `stopped after epoch ${epoch}`;
}

function createStatus(status) {
  const badge = createBadge();
  badge.set(status);
  return badge.element;
}

function createActions(page) {
  const { sweep } = page;
  return [
    sweep.best?.model &&
      h(
        "a",
        {
          class: "button primary",
          href: `#/models/${sweep.best.model.name}?version=${sweep.best.model.version}`,
        },
        "Use the best model",
      ),
    sweep.status === "running" && createActionButton("Cancel", () => cancel(page)),
    isEnded(sweep) && createActionButton("Delete", () => remove(sweep), "danger"),
  ].filter(Boolean);
}

async function cancel(page) {
  const { id } = page.sweep;
  const question = "Trials that have not ended are cancelled too. What was published stays.";
  if (!(await confirmAction(`Cancel sweep ${id}?`, question, "Cancel the sweep"))) return;
  page.update(await send("POST", `/sweeps/${id}/cancel`));
  showToast("Cancelled.");
}

async function remove({ id }) {
  const question = "The jobs of its trials go with it. Models that they produced stay.";
  if (!(await confirmAction(`Delete sweep ${id}?`, question, "Delete the sweep"))) return;
  await send("DELETE", `/sweeps/${id}`);
  showToast(`Sweep ${id} is deleted.`);
  location.hash = "#/sweeps";
}

function createRequest({ request }) {
  return h(
    "details",
    { class: "card" },
    h("summary", {}, "The request as JSON"),
    h(
      "pre",
      { class: "code-block", tabindex: 0, "aria-label": "Request" },
      JSON.stringify(request, null, 2),
    ),
  );
}

function countEnded({ statuses }) {
  return ["succeeded", "failed", "cancelled"].reduce(
    (sum, status) => sum + (statuses[status] || 0),
    0,
  );
}

function listNames(space) {
  return Object.keys(space)
    .map((name, place) => (place ? formatName(name).toLowerCase() : formatName(name)))
    .join(", ");
}

function formatValue(value) {
  return typeof value === "number" ? formatNumber(value) : String(value ?? "–");
}
