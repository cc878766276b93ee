// Classifies pictures that are dropped, pasted, chosen or taken with the camera.

import { request } from "../api.js";
import { createBar, h } from "../dom.js";
import { createProblem } from "../feedback.js";
import { formatPercent } from "../format.js";
import { createCamera } from "./camera.js";
import { createExplanation } from "./explanation.js";

const TOP_K = 5;
const MOST_SHOWN = 20;
const TINY_PIXELS = 96;

export class Classifier {
  constructor(modelName, signal) {
    this.modelName = modelName;
    this.version = h("select", { class: "compact", id: "classifier-version" });
    this.guesses = h("div", { class: "guesses", "aria-live": "polite" });
    const input = h("input", {
      type: "file",
      accept: "image/png,image/jpeg,image/webp",
      multiple: true,
      class: "visually-hidden",
      id: "classifier-files",
      tabindex: -1,
      "aria-label": "Pictures to classify",
      onchange: () => this.#takeFiles(input.files),
    });
    this.zone = h(
      "div",
      { class: "drop-zone" },
      h(
        "p",
        {},
        h("strong", {}, "Drop a picture here"),
        ", or paste one with ",
        h("kbd", {}, "Ctrl V"),
        ".",
      ),
      h(
        "div",
        { class: "buttons" },
        h(
          "button",
          { class: "button", type: "button", onclick: () => input.click() },
          "Choose pictures…",
        ),
        createCamera((picture) => this.#classify(picture, "camera"), signal),
      ),
      h(
        "p",
        { class: "soft small" },
        "PNG, JPEG or WebP of any size. Nothing leaves this machine and its service.",
      ),
      input,
    );
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "classifier-title" },
      h(
        "div",
        { class: "card-head" },
        h("h2", { id: "classifier-title" }, "Classify a picture"),
        h("label", { class: "inline-field" }, "with", this.version),
      ),
      this.zone,
      this.guesses,
    );
    this.#listen(signal);
  }

  /** Offer the versions and aliases of the model. */
  setVersions(model, chosen = null) {
    const before = chosen || this.version.value;
    const aliases = Object.entries(model.aliases).map(([alias, version]) =>
      h("option", { value: alias }, `${alias} (version ${version})`),
    );
    const versions = model.versions.map(({ version }) =>
      h("option", { value: version }, `version ${version}`),
    );
    this.version.replaceChildren(...aliases, ...versions);
    if ([...this.version.options].some((option) => option.value === before))
      this.version.value = before;
  }

  #listen(signal) {
    const isOver = (value) => (event) => {
      event.preventDefault();
      this.zone.toggleAttribute("data-over", value);
    };
    // A picture that misses the zone must not replace the page.
    for (const kind of ["dragenter", "dragover"])
      document.addEventListener(kind, isOver(true), { signal });
    document.addEventListener(
      "dragleave",
      (event) => event.relatedTarget === null && isOver(false)(event),
      { signal },
    );
    document.addEventListener(
      "drop",
      (event) => {
        isOver(false)(event);
        this.#takeFiles(event.dataTransfer.files);
      },
      { signal },
    );
    document.addEventListener(
      "paste",
      (event) => {
        if (event.clipboardData.files.length) this.#takeFiles(event.clipboardData.files);
      },
      { signal },
    );
  }

  #takeFiles(files) {
    for (const file of files) this.#classify(file, file.name);
  }

  async #classify(picture, name) {
    const address = URL.createObjectURL(picture);
    const image = h("img", { src: address, alt: `The picture ${name}` });
    image.addEventListener("load", () => {
      image.classList.toggle(
        "tiny",
        Math.max(image.naturalWidth, image.naturalHeight) <= TINY_PIXELS,
      );
      URL.revokeObjectURL(address);
    });
    const body = h("div", { class: "guess-body" }, h("p", { class: "soft" }, "Classifying…"));
    this.guesses.prepend(h("article", { class: "guess", "aria-label": name }, image, body));
    [...this.guesses.children].slice(MOST_SHOWN).forEach((guess) => guess.remove());
    try {
      const reply = await this.#predict(picture);
      const [{ top_k: ranking }] = reply.predictions;
      body.replaceChildren(
        ...describe(reply, name),
        createExplanation(
          picture,
          `${reply.model}@${reply.version}`,
          ranking.map((row) => row.class),
        ),
      );
    } catch (error) {
      body.replaceChildren(h("p", { class: "soft small" }, name), createProblem(error));
    }
  }

  async #predict(picture) {
    const query = new URLSearchParams({
      model: `${this.modelName}@${this.version.value}`,
      top_k: TOP_K,
    });
    // The service looks at the bytes: what it does not accept, it says so itself.
    const headers = { "Content-Type": picture.type || "application/octet-stream" };
    const started = performance.now();
    const response = await request(`/predict?${query}`, { method: "POST", body: picture, headers });
    const reply = await response.json();
    return { ...reply, milliseconds: performance.now() - started };
  }
}

function describe({ model, version, predictions: [prediction], milliseconds }, name) {
  return [
    h("h3", {}, prediction.class),
    h(
      "ol",
      { class: "ranking" },
      prediction.top_k.map((row) => {
        const bar = createBar(`Probability of ${row.class}`);
        bar.set(row.probability);
        return h(
          "li",
          {},
          h("span", { class: "name" }, row.class),
          bar.element,
          h("span", { class: "number" }, formatPercent(row.probability)),
        );
      }),
    ),
    h(
      "p",
      { class: "soft small" },
      `${name} · ${model} version ${version} · ${Math.max(1, Math.round(milliseconds))} ms`,
    ),
  ];
}
