// A network as a row of boxes: as high as its images are, as deep as it has channels.

import { s } from "../dom.js";

const HEIGHT = 190;
const LARGEST_BOX = 116;
const BASELINE = 140;
const GAP = 34;
const SMALLEST_CELL = 62;
const LETTER_WIDTH = 6.6;

/** Layers that change values but no shape (activations, normalisation) are told, not drawn. */
export function drawNetwork(network) {
  const stages = listStages(network);
  const side = Math.max(...stages.map(({ shape }) => shape[1] || 1));
  const parts = [];
  let x = 8;
  stages.forEach((stage, place) => {
    const box = measure(stage.shape, side);
    const letters = Math.max(...labelsOf(stage).map((label) => label.length));
    const cell = Math.max(SMALLEST_CELL, box.width + box.depth, letters * LETTER_WIDTH);
    const left = x + (cell - box.width - box.depth) / 2;
    if (place)
      parts.push(s("path", { class: "flow", d: `M${x - GAP + 6} 84h${GAP - 14}m-5 -4l5 4l-5 4` }));
    parts.push(drawBox(left, box), ...drawLabels(x + cell / 2, stage));
    x += cell + GAP;
  });
  const width = x - GAP + 8;
  return s(
    "svg",
    {
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": describe(stages),
    },
    parts,
  );
}

function listStages(network) {
  const stages = [{ name: "input", shape: network.input_shape, after: [] }];
  for (const layer of network.layers) {
    const last = stages.at(-1);
    const operation = layer.operation.split("(")[0];
    // Normalisation has a few numbers a channel, a convolution or a linear layer many.
    const isLight = layer.parameter_count <= 4 * layer.output_shape[0];
    if (isLight && layer.output_shape.join() === last.shape.join()) last.after.push(operation);
    // The address of a layer deep inside says less than what it does.
    else
      stages.push({
        name: layer.name.includes(".") ? operation : layer.name,
        shape: layer.output_shape,
        after: [],
      });
  }
  return stages;
}

/** Images: height is the side, depth the channels. Vectors: a bar as high as they are long. */
function measure(shape, side) {
  if (shape.length === 3) {
    const height = 10 + (shape[1] / side) * (LARGEST_BOX - 34);
    return { width: 5 + Math.log2(1 + shape[0]) * 5, height, depth: height * 0.28 };
  }
  return { width: 10, height: 14 + Math.log2(1 + shape[0]) * 9, depth: 4 };
}

function drawBox(left, { width, height, depth }) {
  const top = BASELINE - 12 - height;
  const move = `${left} ${top}`;
  return s(
    "g",
    {},
    s("path", { class: "side", d: `M${move}l${depth} ${-depth}h${width}l${-depth} ${depth}z` }),
    s("path", {
      class: "side",
      d: `M${left + width} ${top}l${depth} ${-depth}v${height}l${-depth} ${depth}z`,
    }),
    s("rect", { class: "front", x: left, y: top, width, height }),
  );
}

function drawLabels(x, stage) {
  return labelsOf(stage).map((label, line) =>
    s("text", { class: line ? null : "name", x, y: BASELINE + 6 + 16 * line }, label),
  );
}

function labelsOf({ name, shape, after }) {
  return [name, shape.join(" × "), after.join(", ")];
}

function describe(stages) {
  return `Network: ${stages.map(({ name, shape }) => `${name} ${shape.join(" by ")}`).join(", then ")}`;
}
