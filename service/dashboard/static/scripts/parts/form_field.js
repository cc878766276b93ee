// One field of the form: label, input, what it means, and what is wrong with it.

import { createText, h } from "../dom.js";
import { formatName } from "../format.js";

export class Field {
  constructor({ name, description, kind, choices, bounds, standard, notes = {} }, onChange) {
    Object.assign(this, { name, kind, notes, standard });
    const id = `field-${name}`;
    const common = {
      id,
      name,
      "aria-describedby": `${id}-hint ${id}-problem`,
      onchange: onChange,
      oninput: onChange,
    };
    this.input = choices
      ? h(
          "select",
          common,
          name !== "recipe" && h("option", { value: "" }),
          choices.map((choice) => h("option", { value: choice }, this.#label(choice))),
        )
      : h("input", {
          ...common,
          type: "text",
          inputmode: { integer: "numeric", number: "decimal" }[kind],
          spellcheck: "false",
        });
    this.problem = h("p", { class: "problem", id: `${id}-problem` });
    const hint = [description, bounds && `${bounds.charAt(0).toUpperCase()}${bounds.slice(1)}.`]
      .filter(Boolean)
      .join(" ");
    this.element = h(
      "div",
      { class: "field" },
      h("label", { for: id }, formatName(name)),
      this.input,
      this.problem,
      h("p", { class: "hint", id: `${id}-hint` }, createText(hint)),
    );
  }

  /** What was typed or chosen; null where the field was left alone. */
  get value() {
    const text = this.input.value.trim();
    if (text === "") return null;
    if (text === "true" || text === "false") return text === "true";
    // What is no number goes as it is: the service says what is wrong with it.
    const isNumber = ["integer", "number"].includes(this.kind) && Number.isFinite(Number(text));
    return isNumber ? Number(text) : text;
  }

  get hasProblem() {
    return this.input.getAttribute("aria-invalid") === "true";
  }

  set(value) {
    this.input.value = String(value);
    this.#reveal();
  }

  /** Show the value that holds when the field is left alone: the recipe's, else the API's own. */
  setDefault(value) {
    const text = String(value ?? this.standard ?? "");
    const source = value === undefined ? "default" : "recipe";
    if (this.input instanceof HTMLSelectElement)
      this.input.options[0].textContent = text && `${this.#label(text)} (${source})`;
    else this.input.placeholder = text;
  }

  /** Show what is wrong, or with null that nothing is. Returns true. */
  setProblem(message) {
    this.problem.textContent = message || "";
    if (message) {
      this.input.setAttribute("aria-invalid", "true");
      this.#reveal();
    } else this.input.removeAttribute("aria-invalid");
    return true;
  }

  focus() {
    this.input.focus();
  }

  /** Open the part of the form that the field is in. */
  #reveal() {
    this.element.closest("details")?.setAttribute("open", "");
  }

  #label(choice) {
    return this.notes[choice] ? `${choice} (${this.notes[choice]})` : String(choice);
  }
}

/** Offer the data sets that are known; without any, the name is typed. */
export function withDatasets(field, datasets) {
  if (field.name !== "dataset" || !datasets.length) return field;
  return {
    ...field,
    choices: datasets.map(({ name }) => name),
    notes: Object.fromEntries(
      datasets.filter(({ state }) => state !== "ready").map(({ name, state }) => [name, state]),
    ),
  };
}
