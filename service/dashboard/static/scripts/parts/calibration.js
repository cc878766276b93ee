// The reliability diagram: how often the model is right when it says how sure it is.

import { createTable, h, s } from "../dom.js";
import { formatCount, formatPercent } from "../format.js";

const SIZE = 300;
const MARGIN = { left: 56, bottom: 38, top: 8, right: 20 };

export function createCalibration(report) {
  const bins = report.calibration_bins.filter((bin) => bin.images);
  return h(
    "section",
    { class: "card calibration", "aria-labelledby": "calibration-title" },
    h("h2", { id: "calibration-title" }, "Calibration"),
    h(
      "p",
      { class: "soft" },
      `On the dashed line, the model is right as often as it is sure. It is off by ${formatPercent(report.expected_calibration_error)} on average (expected calibration error).`,
    ),
    draw(bins),
    h(
      "details",
      {},
      h("summary", {}, "The bins as a table"),
      createTable("Calibration bins", COLUMNS, bins),
    ),
  );
}

const COLUMNS = [
  {
    name: "Confidence",
    cell: (bin) => `${formatPercent(bin.lower, 0)} to ${formatPercent(bin.upper, 0)}`,
  },
  { name: "Mean", number: true, cell: (bin) => formatPercent(bin.confidence) },
  { name: "Right", number: true, cell: (bin) => formatPercent(bin.accuracy) },
  { name: "Images", number: true, cell: (bin) => formatCount(bin.images) },
];

function draw(bins) {
  const x = (share) => MARGIN.left + share * SIZE;
  const y = (share) => MARGIN.top + (1 - share) * SIZE;
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const width = MARGIN.left + SIZE + MARGIN.right;
  const height = MARGIN.top + SIZE + MARGIN.bottom;
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": "Share of right answers by confidence; the table below has the numbers",
    },
    ticks.map((tick) => [
      s("line", { class: "axis", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
      s("text", { x: x(0) - 6, y: y(tick) + 4, "text-anchor": "end" }, formatPercent(tick, 0)),
      s("text", { x: x(tick), y: y(0) + 16, "text-anchor": "middle" }, formatPercent(tick, 0)),
    ]),
    bins.map((bin) => drawBin(bin, x, y)),
    s("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    s("text", { x: x(0.5), y: height - 4, "text-anchor": "middle" }, "How sure the model is"),
    s(
      "text",
      { x: -y(0.5), y: 11, transform: "rotate(-90)", "text-anchor": "middle" },
      "How often it is right",
    ),
  );
}

/** A bar for what is right, and the gap between it and what the model promised. */
function drawBin(bin, x, y) {
  const [left, width] = [x(bin.lower) + 1, x(bin.upper) - x(bin.lower) - 2];
  const [high, low] = [
    Math.max(bin.accuracy, bin.confidence),
    Math.min(bin.accuracy, bin.confidence),
  ];
  const title = `Sure ${formatPercent(bin.confidence)}, right ${formatPercent(bin.accuracy)}, ${formatCount(bin.images)} images`;
  return s(
    "g",
    {},
    s("title", {}, title),
    s("rect", { class: "bin", x: left, y: y(bin.accuracy), width, height: y(0) - y(bin.accuracy) }),
    s("rect", { class: "gap", x: left, y: y(high), width, height: y(low) - y(high) }),
  );
}
