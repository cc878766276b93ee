// The form of a new sweep: what all trials have in common, and the fields that they differ in.

import { get, Problem, Submission } from "../api.js";
import { h } from "../dom.js";
import { createMessage } from "../feedback.js";
import { Dimension } from "../parts/dimension.js";
import { Field, withDatasets } from "../parts/form_field.js";
import { createForm, createGroup, listFields, readValues } from "../parts/request_form.js";
import { readFields } from "../parts/request_schema.js";

const COMMON = ["recipe", "dataset", "network", "epochs", "model"];
const SEARCH = ["trials", "parallel_trials", "sampler", "pruner"];
// What trials must share to be comparable, and what is no field of the spec.
const UNSWEPT = new Set([
  ...["recipe", "dataset", "seed", "validation_share"],
  ...["model", "priority", "max_run_seconds", "max_wait_seconds"],
]);
const FIRST = "learning_rate";

export async function showNewSweep({ main, signal, setTitle }) {
  setTitle("New sweep");
  const [{ items: recipes }, { items: datasets }, document_] = await Promise.all([
    get("/recipes", { signal }),
    get("/datasets", { signal }),
    get("/openapi.json", { signal }),
  ]);
  const form = new SweepForm(
    recipes,
    readFields(document_, "JobRequest").map((field) => withDatasets(field, datasets)),
    readFields(document_, "SweepRequest"),
  );
  main.replaceChildren(
    h(
      "div",
      { class: "page-head" },
      h("p", { class: "breadcrumb" }, h("a", { href: "#/sweeps" }, "Sweeps")),
      h("h1", {}, "New sweep"),
      h(
        "p",
        { class: "lead" },
        "Each trial is a job. A tenth of the training images is held out to compare them by.",
      ),
    ),
    form.element,
  );
}

class SweepForm {
  constructor(recipes, jobFields, sweepFields) {
    this.recipes = recipes;
    const create = (fields, names) =>
      new Map(
        fields
          .filter(({ name }) => names.includes(name))
          .map((field) => [field.name, new Field(field, () => this.#explain())]),
      );
    this.common = create(jobFields, COMMON);
    this.search = create(sweepFields, SEARCH);
    for (const field of this.search.values()) field.setDefault();
    this.names = jobFields.map(({ name }) => name).filter((name) => !UNSWEPT.has(name));
    this.dimensions = [];
    this.dimensionList = h("div", { class: "dimensions" });
    this.problem = h("div", { role: "alert" });
    this.submission = new Submission("/sweeps");
    this.element = createForm({
      verb: "Start the sweep",
      submit: () => this.#submit(),
      content: [
        createGroup("What all trials have in common", listFields(this.common, COMMON)),
        createGroup(
          "What they differ in",
          this.dimensionList,
          h(
            "div",
            { class: "buttons" },
            h(
              "button",
              { class: "button small", type: "button", onclick: () => this.#add().focus() },
              "Add a field",
            ),
          ),
        ),
        createGroup("How to search", listFields(this.search, SEARCH)),
        this.problem,
      ],
    });
    this.#add();
    this.#explain();
  }

  /** Show the recipe's values in the fields left alone. */
  #explain() {
    const recipe = this.recipes.find(({ name }) => name === this.common.get("recipe").value);
    const { name, spec } = recipe || this.recipes[0];
    for (const field of ["dataset", "network", "epochs"])
      this.common.get(field).setDefault(spec[field]);
    const dataset = this.common.get("dataset").value ?? spec.dataset;
    this.common.get("model").setDefault(`${dataset}-${name}`);
  }

  #add() {
    const used = new Set(this.dimensions.map(({ name }) => name));
    const name = [FIRST, ...this.names].find((each) => !used.has(each));
    const dimension = new Dimension(this.names, name, () => {
      this.dimensions = this.dimensions.filter((other) => other !== dimension);
      dimension.element.remove();
      this.#keepOne();
    });
    this.dimensions.push(dimension);
    this.dimensionList.append(dimension.element);
    this.#keepOne();
    return dimension;
  }

  /** A sweep needs a field to differ in: the only one has no button that removes it. */
  #keepOne() {
    for (const dimension of this.dimensions) dimension.remove.hidden = this.dimensions.length === 1;
  }

  #read() {
    return {
      job: readValues(this.common),
      space: Object.fromEntries(this.dimensions.map(({ name, values }) => [name, values])),
      ...readValues(this.search),
    };
  }

  async #submit() {
    for (const part of this.#parts()) part.setProblem(null);
    this.problem.replaceChildren();
    try {
      const sweep = await this.submission.post(this.#read());
      location.hash = `#/sweeps/${sweep.id}`;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#showProblem(error);
    }
  }

  #parts() {
    return [...this.common.values(), ...this.dimensions, ...this.search.values()];
  }

  /** Say each message beside its field, and all others above the button. */
  #showProblem({ title, message, errors }) {
    const rest = errors.filter((error) => !this.#place(error)).map((error) => error.message);
    const lines = errors.length ? rest : [message];
    if (lines.length || !errors.length)
      this.problem.replaceChildren(
        createMessage(
          "bad",
          title,
          lines.map((line) => h("p", {}, line)),
        ),
      );
    this.element.querySelector('[aria-invalid="true"]')?.focus();
  }

  /** `field` is "job.epochs", "space.learning_rate.low" or "trials". */
  #place({ field, message }) {
    const [first, name] = field.split(".");
    const part =
      first === "job"
        ? this.common.get(name)
        : first === "space"
          ? this.dimensions.find((dimension) => dimension.name === name)
          : this.search.get(first);
    part?.setProblem(message);
    return part !== undefined;
  }
}
