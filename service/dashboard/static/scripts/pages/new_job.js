// The form of a new job, made from the recipes and from what the API says of its fields.

import { get, Problem, Submission } from "../api.js";
import { createText, h } from "../dom.js";
import { createMessage } from "../feedback.js";
import { formatCounted, formatName } from "../format.js";
import { Field, withDatasets } from "../parts/form_field.js";
import { createForm, createGroup, listFields, readValues } from "../parts/request_form.js";
import { readFields } from "../parts/request_schema.js";

const GROUPS = {
  "What to train": ["dataset", "network", "epochs", "batch_size", "model"],
  "How it learns": [
    "optimizer",
    "learning_rate",
    "schedule",
    "momentum",
    "weight_decay",
    "loss",
    "label_smoothing",
    "augmentation",
  ],
};
// Problems that are about one field, though they come without a list of fields.
const FIELD_OF_CODE = {
  unknown_dataset: "dataset",
  dataset_unusable: "dataset",
  dataset_too_small: "batch_size",
  images_too_small: "network",
};

export async function showNewJob({ main, query, signal, setTitle }) {
  setTitle("New job");
  const [{ items: recipes }, { items: datasets }, { items: workers }, document_, earlier] =
    await Promise.all([
      get("/recipes", { signal }),
      get("/datasets", { signal }),
      get("/workers", { signal }),
      get("/openapi.json", { signal }),
      query.has("from") ? get(`/jobs/${query.get("from")}`, { signal }) : null,
    ]);
  const form = new JobForm(readFields(document_, "JobRequest"), recipes, datasets);
  form.fill({
    ...earlier?.request,
    ...(query.has("dataset") && { dataset: query.get("dataset") }),
  });
  main.replaceChildren(
    h(
      "div",
      { class: "page-head" },
      h("p", { class: "breadcrumb" }, h("a", { href: "#/jobs" }, "Jobs")),
      h("h1", {}, earlier ? `New job like job ${earlier.id}` : "New job"),
      h(
        "p",
        { class: "lead" },
        "Start from a recipe and change what you like. A field that is left alone keeps the recipe's value.",
      ),
    ),
    ...(workers.length
      ? []
      : [
          createMessage(
            "warn",
            "No worker is alive",
            h(
              "p",
              {},
              createText(
                "The job waits in the queue until one starts: `python -m worker`, or API and worker together with `make serve`.",
              ),
            ),
          ),
        ]),
    form.element,
  );
}

class JobForm {
  constructor(fields, recipes, datasets) {
    this.recipes = recipes;
    this.datasets = datasets;
    this.fields = new Map(
      fields.map((field) => [
        field.name,
        new Field(withDatasets(field, datasets), () => this.#explain()),
      ]),
    );
    this.recipe = this.fields.get("recipe");
    this.problem = h("div", { role: "alert" });
    this.about = h("p", { class: "soft" });
    this.plan = h("p", { class: "soft", role: "status" });
    this.submission = new Submission("/jobs");
    this.element = createForm({
      verb: "Start training",
      submit: () => this.#submit(),
      content: [
        h("section", { class: "card" }, this.recipe.element, this.about),
        ...this.#createGroups(),
        this.problem,
      ],
      note: this.plan,
    });
    this.#explain();
  }

  /** Put in what an earlier job asked for. */
  fill(request) {
    for (const [name, value] of Object.entries(request))
      if (value !== null) this.fields.get(name)?.set(value);
    this.#explain();
  }

  #createGroups() {
    const named = new Set(["recipe", ...Object.values(GROUPS).flat()]);
    const rest = [...this.fields.keys()].filter((name) => !named.has(name));
    const more = h(
      "details",
      { class: "card" },
      h("summary", {}, h("h2", {}, "More settings")),
      listFields(this.fields, rest),
    );
    const groups = Object.entries(GROUPS).map(([title, names]) =>
      createGroup(title, listFields(this.fields, names)),
    );
    return [...groups, more];
  }

  /** Show the recipe's values in the fields left alone, and how much work it all makes. */
  #explain() {
    const recipe = this.recipes.find(({ name }) => name === this.recipe.value) || this.recipes[0];
    this.about.replaceChildren(...createText(recipe.description));
    for (const [name, field] of this.fields)
      if (name !== "recipe") field.setDefault(recipe.spec[name]);
    const value = (name) => this.fields.get(name).value ?? recipe.spec[name];
    this.fields.get("model").setDefault(`${value("dataset")}-${recipe.name}`);
    const images = this.datasets.find(({ name }) => name === value("dataset"))?.counts?.train;
    const steps = Math.ceil(images / value("batch_size")) * value("epochs");
    this.plan.textContent =
      steps > 0
        ? `${formatCounted(steps, "step")}: ${formatCounted(value("epochs"), "epoch")} of ${formatCounted(images, "image")} in batches of ${value("batch_size")}.`
        : "";
  }

  async #submit() {
    this.#clearProblems();
    try {
      const job = await this.submission.post(readValues(this.fields));
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#showProblem(error);
    }
  }

  #clearProblems() {
    this.problem.replaceChildren();
    for (const field of this.fields.values()) field.setProblem(null);
  }

  #showProblem(error) {
    const listed = error.errors.length
      ? error.errors
      : [{ field: FIELD_OF_CODE[error.code], message: error.message }];
    const elsewhere = listed.filter(
      ({ field, message }) => !this.fields.get(field)?.setProblem(message),
    );
    const first = [...this.fields.values()].find((field) => field.hasProblem);
    if (elsewhere.length) {
      this.problem.replaceChildren(
        createMessage(
          "bad",
          error.title,
          elsewhere.map(({ message }) => h("p", {}, message)),
        ),
      );
    } else {
      const names = [...this.fields]
        .filter(([, field]) => field.hasProblem)
        .map(([name]) => formatName(name));
      this.problem.replaceChildren(
        createMessage(
          "bad",
          "The job was not started",
          h("p", {}, `Please look at: ${names.join(", ")}.`),
        ),
      );
    }
    first?.focus();
  }
}
