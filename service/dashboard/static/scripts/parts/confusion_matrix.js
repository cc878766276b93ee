// The confusion matrix: true class down, predicted class across; a cell opens its images.

import { get } from "../api.js";
import { h } from "../dom.js";
import { createProblem, openDialog, runAction } from "../feedback.js";
import { formatCount, formatCounted } from "../format.js";
import { createPictureLinks } from "./picture_links.js";
import { createPicture } from "./pictures.js";

const PAGE_SIZE = 60;
// From here on a cell holds a colour only; its number is in its label.
const DENSE_CLASSES = 26;
// So that the number stays readable on the strongest colour, in light and in dark.
const STRONGEST = 0.48;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export function createMatrix(jobId, report) {
  const names = report.classes.map((row) => row.name);
  const cells = report.confusion_matrix.map((row, label) =>
    createRow(jobId, report, names, row, label),
  );
  const table = h(
    "table",
    {
      class: names.length >= DENSE_CLASSES ? "matrix dense" : "matrix",
      onkeydown: (event) => moveFocus(event, cells),
    },
    h(
      "caption",
      { class: "visually-hidden" },
      "Confusion matrix: a row is a true class, a column a predicted class",
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("td", {}),
        names.map((name) => h("th", { scope: "col" }, h("span", {}, name))),
      ),
    ),
    h(
      "tbody",
      {},
      cells.map((row, label) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, names[label]),
          row.map((cell) => h("td", {}, cell)),
        ),
      ),
    ),
  );
  // One stop for the Tab key; arrows move inside.
  cells
    .flat()
    .find((cell) => cell instanceof Element)
    ?.setAttribute("tabindex", "0");
  return h(
    "section",
    { class: "card", "aria-labelledby": "matrix-title" },
    h("h2", { id: "matrix-title" }, "Confusion matrix"),
    h(
      "p",
      { class: "soft" },
      "True class down, predicted class across. Choose a cell to see its images.",
    ),
    h("div", { class: "matrix-frame" }, table),
    createPictureLinks(`/jobs/${jobId}/confusion-matrix`, "Confusion matrix"),
  );
}

function createRow(jobId, report, names, counts, label) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count, predicted) => {
    if (!count) return "";
    const share = count / total;
    const title =
      label === predicted
        ? `${names[label]}, recognised`
        : `${names[label]} taken for ${names[predicted]}`;
    const cell = h(
      "button",
      {
        type: "button",
        tabindex: -1,
        title,
        "aria-label": `${title}: ${formatCounted(count, "image")}`,
        onclick: () => openCell(jobId, report, names[label], names[predicted], title, count),
      },
      formatCount(count),
    );
    // Small shares of mistakes must be told apart from none, so the colour grows with the root.
    const strength = STRONGEST * (label === predicted ? share : Math.sqrt(share));
    cell.style.background = `rgb(var(--matrix-${label === predicted ? "right" : "wrong"}), ${strength.toFixed(3)})`;
    return cell;
  });
}

/** Move along the arrow to the next cell that holds images. */
function moveFocus(event, cells) {
  const arrow = ARROWS[event.key];
  const from = cells
    .flatMap((row, y) => row.map((cell, x) => [cell, y, x]))
    .find(([cell]) => cell === event.target);
  if (!arrow || !from) return;
  event.preventDefault();
  let [, y, x] = from;
  do {
    y += arrow[0];
    x += arrow[1];
  } while (cells[y]?.[x] === "");
  const next = cells[y]?.[x];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

async function openCell(jobId, report, label, predicted, title, count) {
  const { body } = openDialog(title.charAt(0).toUpperCase() + title.slice(1));
  const pictures = h("ul", { class: "pictures" });
  const more = h(
    "button",
    { class: "button", type: "button", hidden: true, onclick: () => runAction(more, load) },
    "Show more",
  );
  const state = h("p", { class: "soft", role: "status" }, `${formatCounted(count, "test image")}.`);
  body.append(state, pictures, more);
  let cursor = null;
  const load = async () => {
    const page = await get(`/jobs/${jobId}/predictions`, {
      label,
      predicted,
      limit: PAGE_SIZE,
      cursor,
    });
    pictures.append(...page.items.map((item) => createPicture(report.dataset, report.split, item)));
    cursor = page.next_cursor;
    more.hidden = !cursor;
  };
  try {
    await load();
  } catch (error) {
    state.replaceWith(createProblem(error));
  }
}
