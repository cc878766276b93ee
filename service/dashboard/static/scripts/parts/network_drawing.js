// A network as a row of boxes: as high as its images are, as deep as it has channels.

import { s } from "../dom.js";

const HEIGHT = 190;
const LARGEST_BOX = 116;
const BASELINE = 140;
const GAP = 34;
const SMALLEST_CELL = 62;

/** Layers that leave shape and parameters alone (activations) are told, not drawn. */
export function drawNetwork(network) {
  const stages = listStages(network);
  const side = Math.max(...stages.map(({ shape }) => shape[1] || 1));
  const parts = [];
  let x = 8;
  stages.forEach((stage, place) => {
    const box = measure(stage.shape, side);
    const cell = Math.max(SMALLEST_CELL, box.width + box.depth);
    const left = x + (cell - box.width - box.depth) / 2;
    if (place) parts.push(s("path", { class: "flow", d: `M${x - GAP + 6} 84h${GAP - 14}m-5 -4l5 4l-5 4` }));
    parts.push(drawBox(left, box), ...drawLabels(x + cell / 2, stage));
    x += cell + GAP;
  });
  const width = x - GAP + 8;
  return s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": describe(stages) }, parts);
}

function listStages(network) {
  const stages = [{ name: "input", shape: network.input_shape, after: [] }];
  for (const layer of network.layers) {
    const last = stages.at(-1);
    const isSame = layer.parameter_count === 0 && layer.output_shape.join() === last.shape.join();
    if (isSame) last.after.push(layer.operation.split("(")[0]);
    else stages.push({ name: layer.name, shape: layer.output_shape, after: [] });
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
  return s("g", {},
    s("path", { class: "side", d: `M${move}l${depth} ${-depth}h${width}l${-depth} ${depth}z` }),
    s("path", { class: "side", d: `M${left + width} ${top}l${depth} ${-depth}v${height}l${-depth} ${depth}z` }),
    s("rect", { class: "front", x: left, y: top, width, height }));
}

function drawLabels(x, { name, shape, after }) {
  return [
    s("text", { class: "name", x, y: BASELINE + 6 }, name),
    s("text", { x, y: BASELINE + 22 }, shape.join(" × ")),
    s("text", { x, y: BASELINE + 38 }, after.join(", ")),
  ];
}

function describe(stages) {
  return `Network: ${stages.map(({ name, shape }) => `${name} ${shape.join(" by ")}`).join(", then ")}`;
}
