// Builds elements. Text is always set as text, so nothing that comes from the API can be markup.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Return an HTML element. `on…` attributes are listeners; null, false and undefined are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return an SVG element, built in the same way. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG_NAMESPACE, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Return the parts of a text; what stands between backticks becomes code. */
export function createText(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

/** Set the text of an element, and leave the page alone where it is the same. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A horizontal bar from 0 to 1 with a name for screen readers. */
export function createBar(label) {
  const inner = h("span");
  const element = h(
    "div",
    {
      class: "bar",
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    inner,
  );
  return {
    element,
    set(share, { tone = null, text = null } = {}) {
      const percent = Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10;
      inner.style.width = `${percent}%`;
      element.setAttribute("aria-valuenow", Math.round(percent));
      if (text) element.setAttribute("aria-valuetext", text);
      if (tone) element.dataset.tone = tone;
      else delete element.dataset.tone;
    },
  };
}

/** A table of plain cells. A column is {name, number?, cell(row)}; the first cell names the row. */
export function createTable(caption, columns, rows) {
  const cells = (row) =>
    columns.map((column, place) =>
      h(
        place ? "td" : "th",
        { class: column.number ? "number" : null, scope: place ? null : "row" },
        column.cell(row),
      ),
    );
  return h(
    "div",
    { class: "table-scroll", role: "region", "aria-label": caption, tabindex: 0 },
    h(
      "table",
      {},
      h("caption", { class: "visually-hidden" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) =>
            h("th", { scope: "col", class: column.number ? "number" : null }, column.name),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, cells(row))),
      ),
    ),
  );
}
