// The classes one by one, sorted by whichever column asks for it.

import { createBar, h } from "../dom.js";
import { formatCount, formatNumber, formatPercent } from "../format.js";

const COLUMNS = [
  { key: "name", name: "Class", format: (value) => value },
  { key: "accuracy", name: "Accuracy", number: true, format: (value) => formatPercent(value) },
  { key: "precision", name: "Precision", number: true, format: (value) => formatPercent(value) },
  { key: "f1", name: "F1", number: true, format: formatNumber },
  { key: "images", name: "Images", number: true, format: formatCount },
  { key: "predicted", name: "Predicted", number: true, format: formatCount },
];

export function createClassTable(classes) {
  let order = { key: "accuracy", isDescending: false };
  const body = h("tbody");
  const heads = COLUMNS.map((column) =>
    createHead(column, () => {
      const isSame = order.key === column.key;
      order = {
        key: column.key,
        isDescending: isSame ? !order.isDescending : column.number === true,
      };
      draw();
    }),
  );
  const draw = () => {
    COLUMNS.forEach((column, place) => {
      heads[place].setAttribute(
        "aria-sort",
        column.key !== order.key ? "none" : order.isDescending ? "descending" : "ascending",
      );
    });
    body.replaceChildren(...sort(classes, order).map(createRow));
  };
  draw();
  return h(
    "section",
    { class: "card", "aria-labelledby": "classes-title" },
    h("h2", { id: "classes-title" }, "Classes"),
    h(
      "div",
      { class: "table-scroll", role: "region", "aria-label": "Classes", tabindex: 0 },
      h(
        "table",
        {},
        h(
          "caption",
          { class: "visually-hidden" },
          "Accuracy, precision and F1 of each class; the headings sort",
        ),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads,
            h(
              "th",
              { scope: "col", class: "class-bar" },
              h("span", { class: "visually-hidden" }, "Accuracy as a bar"),
            ),
          ),
        ),
        body,
      ),
    ),
  );
}

function createHead(column, onSort) {
  return h(
    "th",
    { scope: "col", class: column.number ? "number" : null },
    h("button", { type: "button", onclick: onSort }, column.name),
  );
}

function createRow(row) {
  const bar = createBar(`Accuracy of ${row.name}`);
  bar.set(row.accuracy ?? 0);
  return h(
    "tr",
    {},
    COLUMNS.map((column, place) =>
      h(
        place ? "td" : "th",
        { scope: place ? null : "row", class: column.number ? "number" : null },
        column.format(row[column.key]),
      ),
    ),
    h("td", { class: "class-bar" }, bar.element),
  );
}

/** What is undefined comes last, whichever way the column is sorted. */
function sort(rows, { key, isDescending }) {
  const sign = isDescending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [left, right] = [one[key], other[key]];
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (typeof left === "string" ? left.localeCompare(right) : left - right);
  });
}
