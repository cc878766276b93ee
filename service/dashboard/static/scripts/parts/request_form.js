// What the forms of new jobs and new sweeps have in common.

import { h } from "../dom.js";
import { runAction } from "../feedback.js";

/** A form with `content` above the button, beside which `note` is; `submit` does the work. */
export function createForm({ verb, submit, content, note = null }) {
  const button = h("button", { class: "button primary" }, verb);
  const onsubmit = (event) => {
    event.preventDefault();
    runAction(button, submit);
  };
  return h(
    "form",
    { class: "report", novalidate: true, onsubmit, autocomplete: "off" },
    content,
    h("div", { class: "page-head" }, note, button),
  );
}

export function createGroup(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), content);
}

/** Return those of `fields`, a Map by name, that `names` lists; names of no field are left out. */
export function listFields(fields, names) {
  return h(
    "div",
    { class: "fields" },
    names.map((name) => fields.get(name)?.element),
  );
}

/** Return what was filled in, by name; fields that were left alone are left out. */
export function readValues(fields) {
  return Object.fromEntries(
    [...fields]
      .map(([name, { value }]) => [name, value])
      .filter(([, value]) => value !== null),
  );
}
