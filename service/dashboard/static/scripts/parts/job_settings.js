// The spec of a job, and where it differs from the recipe that it began with.

import { get } from "../api.js";
import { h } from "../dom.js";
import { formatName } from "../format.js";

/** Return the section at once; the recipe's values come when they have been fetched. */
export function createSettings(job, signal) {
  const recipe = job.request.recipe || "tutorial";
  const summary = h("p", { class: "soft" }, `Recipe ${recipe}.`);
  const place = h("div");
  const onlyChanges = h("input", {
    type: "checkbox",
    checked: true,
    onchange: () => place.firstChild.toggleAttribute("data-only-changes", onlyChanges.checked),
  });
  const section = h(
    "section",
    { class: "card", "aria-labelledby": "settings-title" },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: "settings-title" }, "Settings"),
      h("label", { class: "inline-field" }, onlyChanges, "Only what differs"),
    ),
    summary,
    place,
    h(
      "details",
      {},
      h("summary", {}, "The request as JSON"),
      h(
        "pre",
        { class: "code-block", tabindex: 0, "aria-label": "Request" },
        JSON.stringify(job.request, null, 2),
      ),
    ),
  );
  place.append(createList(job.spec, job.spec));
  get(`/recipes/${recipe}`, { signal }).then(
    ({ spec }) => {
      const changed = Object.keys(job.spec).filter((name) => job.spec[name] !== spec[name]);
      const named = changed.map((name) => formatName(name).toLowerCase()).join(", ");
      summary.textContent = changed.length
        ? `Recipe ${recipe}. Changed: ${named}.`
        : `Recipe ${recipe}, unchanged.`;
      onlyChanges.checked &&= changed.length > 0;
      place.replaceChildren(createList(job.spec, spec));
      place.firstChild.toggleAttribute("data-only-changes", onlyChanges.checked);
    },
    () => {
      summary.textContent = `Recipe ${recipe}, which this version no longer has.`;
    },
  );
  return section;
}

function createList(spec, recipe) {
  return h(
    "table",
    { class: "settings-list" },
    h("caption", { class: "visually-hidden" }, "Settings of the job beside those of its recipe"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Setting", "This job", "Recipe"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      Object.keys(spec).map((name) =>
        h(
          "tr",
          { "data-changed": spec[name] !== recipe[name] },
          h("th", { scope: "row" }, formatName(name)),
          h("td", {}, show(spec[name])),
          h("td", { class: "soft" }, show(recipe[name])),
        ),
      ),
    ),
  );
}

function show(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
