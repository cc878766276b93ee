// How good a trained model is: totals, classes, confusion, calibration, worst mistakes.

import { get } from "../api.js";
import { h } from "../dom.js";
import { formatCount, formatCounted, formatNumber, formatPercent } from "../format.js";
import { createCalibration } from "./calibration.js";
import { createClassTable } from "./class_table.js";
import { createMatrix } from "./confusion_matrix.js";
import { createPictures } from "./pictures.js";

/** Return the sections of the report. Throws Problem where the job has none. */
export async function createReport(job, signal) {
  const report = await get(`/jobs/${job.id}/report`, { signal });
  return [
    createTotals(report),
    h("div", { class: "report-pair" }, createMatrix(job.id, report), createCalibration(report)),
    createClassTable(report.classes),
    createMistakes(report),
  ];
}

function createTotals(report) {
  const totals = {
    Accuracy: formatPercent(report.accuracy, 2),
    "Right class in the top 3": formatPercent(report.top_3_accuracy, 2),
    "Mean F1": formatNumber(report.macro_average.f1),
    "Mean loss": formatNumber(report.mean_loss),
    "Calibration error": formatPercent(report.expected_calibration_error),
    "Test images": formatCount(report.images),
  };
  return h(
    "section",
    { class: "card", "aria-labelledby": "report-title" },
    h("h2", { id: "report-title" }, "Report"),
    h(
      "dl",
      { class: "tiles" },
      Object.entries(totals).map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, value)),
      ),
    ),
  );
}

function createMistakes(report) {
  const mistakes = report.most_confident_mistakes;
  return h(
    "section",
    { class: "card", "aria-labelledby": "mistakes-title" },
    h("h2", { id: "mistakes-title" }, "Worst mistakes"),
    h(
      "p",
      { class: "soft" },
      mistakes.length
        ? `The ${formatCounted(mistakes.length, "picture")} that the model is wrong about with most confidence.`
        : "The model makes no mistake on the test images.",
    ),
    createPictures(report.dataset, report.split, mistakes),
  );
}
