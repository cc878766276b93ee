// The networks that a job can train: drawn, layer by layer, and as autograd sees them.

import { get } from "../api.js";
import { createTable, h } from "../dom.js";
import { createEmpty } from "../feedback.js";
import { createDownload, loadPicture } from "../files.js";
import { formatCount } from "../format.js";
import { drawNetwork } from "../parts/network_drawing.js";

export async function showNetworks({ main, signal, setTitle }) {
  setTitle("Networks");
  const { items } = await get("/networks", { signal });
  main.replaceChildren(
    h("div", { class: "page-head" }, h("h1", {}, "Networks")),
    items.length
      ? h("div", { class: "gallery" }, items.map(createCard))
      : createEmpty(
          "No networks yet",
          "A worker describes them when it starts. Start one with `python -m worker`, or API and worker together with `make serve`.",
        ),
  );
}

function createCard(network) {
  return h(
    "article",
    { class: "card gallery-card" },
    h("h2", {}, h("a", { href: `#/networks/${network.name}` }, network.name)),
    h("p", {}, network.summary),
    createFacts(network),
  );
}

function createFacts(network) {
  return h(
    "p",
    { class: "facts" },
    h("span", {}, h("strong", {}, formatCount(network.parameter_count)), " parameters"),
    h("span", {}, `input ${network.input_shape.join(" × ")}`),
    h("span", {}, `images of at least ${network.smallest_side} pixels a side`),
  );
}

const LAYER_COLUMNS = [
  { name: "Layer", cell: (layer) => layer.name },
  { name: "Operation", cell: (layer) => h("code", {}, layer.operation) },
  { name: "Output", number: true, cell: (layer) => layer.output_shape.join(" × ") },
  {
    name: "Parameters",
    number: true,
    cell: (layer) => (layer.parameter_count ? formatCount(layer.parameter_count) : "–"),
  },
];

export async function showNetwork({ main, argument: name, signal, setTitle }) {
  setTitle(name);
  const network = await get(`/networks/${name}`, { signal });
  main.replaceChildren(
    h(
      "div",
      { class: "page-head" },
      h("p", { class: "breadcrumb" }, h("a", { href: "#/networks" }, "Networks")),
      h("h1", {}, network.name),
      h("p", { class: "lead" }, network.summary),
      createFacts(network),
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "drawing-title" },
      h("h2", { id: "drawing-title" }, "Shape of the data on its way"),
      h(
        "div",
        {
          class: "network-drawing",
          tabindex: 0,
          role: "region",
          "aria-label": "Drawing of the network",
        },
        drawNetwork(network),
      ),
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "layers-title" },
      h("h2", { id: "layers-title" }, "Layers"),
      createTable("Layers", LAYER_COLUMNS, network.layers),
      h(
        "details",
        {},
        h("summary", {}, "As PyTorch prints it"),
        h(
          "pre",
          { class: "code-block", tabindex: 0, "aria-label": "Printed module" },
          network.printed,
        ),
      ),
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "graph-title" },
      h(
        "div",
        { class: "card-head" },
        h("h2", { id: "graph-title" }, "Autograd graph of the loss"),
        createDownload(`/networks/${name}/graph.svg`, `${name}.svg`, "Download SVG"),
      ),
      h(
        "div",
        { class: "graph-frame", tabindex: 0, role: "region", "aria-label": "Autograd graph" },
        loadPicture(
          h("img", { alt: `Autograd graph of the loss of ${name}`, loading: "lazy" }),
          `/networks/${name}/graph.svg`,
        ),
      ),
    ),
  );
}
