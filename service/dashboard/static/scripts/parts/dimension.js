// One field that the trials of a sweep differ in: which, and the values to try.

import { h } from "../dom.js";
import { formatName } from "../format.js";

const WAYS = {
  log: "Range, by the logarithm",
  range: "Range",
  choices: "These values",
};
let count = 0;

export class Dimension {
  /** `names` are the fields to choose from; `onRemove` is called when the user wants it away. */
  constructor(names, name, onRemove) {
    this.id = `dimension-${count++}`;
    const label = (text, input) =>
      h("div", { class: "field" }, h("label", { for: input.id }, text), input);
    const input = (part, attributes = {}) =>
      h("input", { id: `${this.id}-${part}`, type: "text", spellcheck: "false", ...attributes });
    const options = (texts) =>
      Object.entries(texts).map(([value, text]) => h("option", { value }, text));
    this.field = h(
      "select",
      { id: `${this.id}-field` },
      options(Object.fromEntries(names.map((each) => [each, formatName(each)]))),
    );
    this.way = h("select", { id: `${this.id}-way`, onchange: () => this.#arrange() }, options(WAYS));
    this.low = input("low", { inputmode: "decimal" });
    this.high = input("high", { inputmode: "decimal" });
    this.choices = input("choices", { placeholder: "16, 64, 256" });
    this.range = [label("From", this.low), label("To", this.high)];
    this.list = [label("Values, with commas between", this.choices)];
    this.inputs = [this.low, this.high, this.choices];
    this.remove = h("button", { class: "button small", type: "button", onclick: onRemove }, "Remove");
    this.problem = h("p", { class: "problem", id: `${this.id}-problem` });
    this.field.value = name;
    this.element = h(
      "fieldset",
      { class: "dimension" },
      h("legend", { class: "visually-hidden" }, "A field that the trials differ in"),
      h(
        "div",
        { class: "fields" },
        label("Field", this.field),
        label("Values", this.way),
        this.range,
        this.list,
      ),
      h("div", { class: "field" }, this.problem),
      this.remove,
    );
    this.#arrange();
  }

  get name() {
    return this.field.value;
  }

  /** What the API takes: `{choices}`, or `{low, high}` with `log`. Empty inputs are left out. */
  get values() {
    if (this.way.value === "choices") {
      const words = this.choices.value.split(",").map((word) => word.trim());
      return { choices: words.filter(Boolean).map(readValue) };
    }
    const ends = { low: readValue(this.low.value), high: readValue(this.high.value) };
    const given = Object.entries(ends).filter(([, value]) => value !== "");
    return { ...Object.fromEntries(given), ...(this.way.value === "log" && { log: true }) };
  }

  setProblem(message) {
    this.problem.textContent = message || "";
    for (const input of this.inputs) {
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      input.setAttribute("aria-describedby", this.problem.id);
    }
  }

  focus() {
    this.inputs.find((input) => !input.closest(".field").hidden).focus();
  }

  #arrange() {
    const isList = this.way.value === "choices";
    for (const field of this.range) field.hidden = isList;
    for (const field of this.list) field.hidden = !isList;
  }
}

/** "64" → 64, "true" → true; what is neither stays a word, and the service says what is wrong. */
function readValue(text) {
  const word = text.trim();
  if (word === "true" || word === "false") return word === "true";
  return word !== "" && Number.isFinite(Number(word)) ? Number(word) : word;
}
