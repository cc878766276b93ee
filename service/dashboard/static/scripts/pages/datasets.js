// The data sets: what is in them, and what it looks like.

import { get } from "../api.js";
import { createBar, h } from "../dom.js";
import { createEmpty, createMessage, createProblem } from "../feedback.js";
import { loadPicture } from "../files.js";
import { formatCount, formatCounted } from "../format.js";

const THUMBNAILS = 12;
const SAMPLES = 36;
// Fewer on a phone, so that their names stay readable.
const SAMPLES_NARROW = 12;
const TONES = { ready: "good", unusable: "bad" };
const ADD =
  "To add your own, put pictures into datasets/<name>/train/<class>/ and datasets/<name>/test/<class>/ in the data folder. A worker finds them there.";

export async function showDatasets({ main, signal, setTitle }) {
  setTitle("Data sets");
  const { items } = await get("/datasets", { signal });
  main.replaceChildren(
    h("div", { class: "page-head" }, h("h1", {}, "Data sets"), h("p", { class: "lead" }, ADD)),
    items.length
      ? h("div", { class: "gallery" }, items.map(createCard))
      : createEmpty(
          "No data sets yet",
          "A worker lists them when it starts. Start one with `python -m worker`, or API and worker together with `make serve`.",
        ),
  );
}

function createCard(dataset) {
  return h(
    "article",
    { class: "card gallery-card" },
    h(
      "div",
      { class: "card-head" },
      h("h2", {}, h("a", { href: `#/datasets/${dataset.name}` }, dataset.name)),
      createState(dataset),
    ),
    createThumbnails(dataset),
    dataset.state !== "ready" &&
      h("p", { class: "soft small" }, dataset.problem || dataset.description),
    createFacts(dataset),
  );
}

function createState(dataset) {
  return h("span", { class: "badge", "data-tone": TONES[dataset.state] }, dataset.state);
}

function createThumbnails(dataset) {
  if (dataset.state !== "ready" || !dataset.counts?.train) return null;
  // Spread over the whole split, so that folders in order of class show all of them.
  const spacing = Math.max(1, Math.floor(dataset.counts.train / THUMBNAILS));
  const indices = Array.from(
    { length: Math.min(THUMBNAILS, dataset.counts.train) },
    (_, place) => place * spacing,
  );
  return h(
    "div",
    { class: "thumbnails", "aria-hidden": "true" },
    indices.map((index) =>
      loadPicture(
        h("img", { alt: "", width: 40, height: 40, loading: "lazy" }),
        `/datasets/${dataset.name}/images/train/${index}`,
      ),
    ),
  );
}

function createFacts(dataset) {
  const size = dataset.width && `${dataset.width} × ${dataset.height} pixels`;
  return h(
    "p",
    { class: "facts" },
    [
      dataset.classes.length > 0 && formatCounted(dataset.classes.length, "class", "classes"),
      dataset.counts && `${formatCount(dataset.counts.train)} training images`,
      dataset.counts && `${formatCount(dataset.counts.test)} test images`,
      size,
    ]
      .filter(Boolean)
      .map((fact) => h("span", {}, fact)),
  );
}

export async function showDataset({ main, argument: name, signal, setTitle }) {
  setTitle(name);
  const dataset = await get(`/datasets/${name}`, { signal });
  main.replaceChildren(
    ...[
      h(
        "div",
        { class: "page-head" },
        h("p", { class: "breadcrumb" }, h("a", { href: "#/datasets" }, "Data sets")),
        h("div", { class: "page-title" }, h("h1", {}, dataset.name), createState(dataset)),
        dataset.state !== "unusable" &&
          h(
            "a",
            { class: "button primary", href: `#/jobs/new?dataset=${dataset.name}` },
            "Train on it",
          ),
        dataset.state !== "ready" && h("p", { class: "lead" }, dataset.description),
        createFacts(dataset),
      ),
      dataset.problem &&
        createMessage("bad", "It cannot be trained on", h("p", {}, dataset.problem)),
      dataset.state === "ready" ? createSamples(dataset) : createNotPacked(dataset),
      dataset.class_counts && createClassCounts(dataset),
    ].filter(Boolean),
  );
}

function createNotPacked(dataset) {
  if (dataset.state === "unusable") return null;
  const verb = dataset.state === "downloadable" ? "downloads and unpacks" : "unpacks";
  return createEmpty(
    "Its pictures are not unpacked yet",
    `A worker ${verb} them before the first job that uses them. They can be seen here afterwards.`,
  );
}

function createSamples(dataset) {
  let seed = 0;
  const place = h("div");
  const split = h(
    "select",
    { class: "compact", onchange: () => draw() },
    h("option", { value: "train" }, "training images"),
    h("option", { value: "test" }, "test images"),
  );
  const another = () => {
    seed += 1;
    draw();
  };
  const draw = () => {
    const count = matchMedia("(max-width: 720px)").matches ? SAMPLES_NARROW : SAMPLES;
    const address = `/datasets/${dataset.name}/samples?split=${split.value}&seed=${seed}&count=${count}`;
    const image = h("img", {
      class: "samples",
      alt: `${count} random ${split.selectedOptions[0].text} of ${dataset.name}, each with its class below it`,
    });
    image.addEventListener("load", () => place.replaceChildren(image));
    image.addEventListener("error", () => explain(address));
    loadPicture(image, address);
  };
  // An image element cannot tell why it has no picture: the problem can.
  const explain = (address) =>
    get(address).catch((error) => place.replaceChildren(createProblem(error)));
  draw();
  return h(
    "section",
    { class: "card", "aria-labelledby": "samples-title" },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: "samples-title" }, "Samples"),
      h(
        "div",
        { class: "buttons" },
        h("label", { class: "inline-field" }, "Show", split),
        h("button", { class: "button small", type: "button", onclick: another }, "Other pictures"),
      ),
    ),
    place,
  );
}

function createClassCounts(dataset) {
  const { train = [], test = [] } = dataset.class_counts;
  const most = Math.max(...train, 1);
  const row = (name, place) => {
    const bar = createBar(`Training images of ${name}`);
    bar.set(train[place] / most, { text: formatCounted(train[place], "image") });
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", { class: "number" }, formatCount(train[place])),
      h("td", { class: "number" }, formatCount(test[place])),
      h("td", { class: "class-bar" }, bar.element),
    );
  };
  return h(
    "section",
    { class: "card", "aria-labelledby": "counts-title" },
    h("h2", { id: "counts-title" }, "Classes"),
    h(
      "div",
      { class: "table-scroll", role: "region", "aria-label": "Images of each class", tabindex: 0 },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "Class"),
            h("th", { scope: "col", class: "number" }, "Training"),
            h("th", { scope: "col", class: "number" }, "Test"),
            h(
              "th",
              { scope: "col", class: "class-bar" },
              h("span", { class: "visually-hidden" }, "Training images as a bar"),
            ),
          ),
        ),
        h("tbody", {}, dataset.classes.map(row)),
      ),
    ),
  );
}
