// One line chart (uPlot): lines of their own x values, a legend that switches them, zoom by
// dragging, by keys and by buttons.

import uPlot from "../../vendor/uPlot.esm.js";
import { h, s, setText } from "../dom.js";
import { NONE } from "../format.js";
import { splitLog, widen } from "./chart_scales.js";
import { isDark, readColour } from "./colours.js";

const FAINT_ALPHA = 0.4;
const COMPARED_ALPHA = 0.75;

/** A line is {name, x, y, colour (custom property), isFaint?, isCompared?, hasPoints?}. */
export class Chart {
  /** `onZoom(range)` gets [from, to] on the x axis, or null for everything. */
  constructor({ title, format, formatTick = format, onZoom }) {
    this.title = title;
    this.format = format;
    this.formatTick = formatTick;
    this.onZoom = onZoom;
    this.hidden = new Set();
    this.lines = [];
    this.legend = h("div", { class: "legend", role: "group", "aria-label": `Lines of ${title}` });
    this.empty = h(
      "p",
      { class: "chart-empty" },
      "The first figures appear here as soon as the worker reports them.",
    );
    this.canvas = h(
      "div",
      {
        class: "chart-canvas",
        tabindex: 0,
        role: "group",
        "aria-roledescription": "chart",
        onkeydown: (event) => this.#onKey(event),
      },
      this.empty,
    );
    this.element = h("div", { class: "chart" }, h("h3", {}, title), this.legend, this.canvas);
    this.resizing = new ResizeObserver(() => this.plot?.setSize(this.#size()));
    this.resizing.observe(this.canvas);
  }

  /** Show the lines. `view` is {xName, formatX, isLog, range}. */
  draw(lines, view) {
    this.lines = lines;
    this.view = view;
    const structure = JSON.stringify([
      lines.map((line) => [line.name, line.colour, line.isFaint]),
      view.isLog,
      view.xName,
      isDark(),
    ]);
    this.empty.hidden = lines.some((line) => line.x.length);
    if (this.empty.hidden === false) return;
    if (structure !== this.structure) this.#build(structure);
    this.plot.setData(this.#join());
    this.#describe();
  }

  destroy() {
    this.resizing.disconnect();
    this.plot?.destroy();
  }

  #build(structure) {
    this.structure = structure;
    this.plot?.destroy();
    this.values = [];
    this.plot = new uPlot(this.#options(), this.#join(), this.canvas);
    this.legend.replaceChildren(
      ...this.lines.map((line, place) => this.#createLegendEntry(line, place)),
    );
  }

  #options() {
    const ink = readColour("--ink-soft");
    const axis = {
      stroke: ink,
      grid: { stroke: readColour("--chart-grid"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
    };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { size: 7 },
        bind: { dblclick: () => () => this.onZoom(null) },
      },
      scales: {
        x: { time: false, range: (_plot, low, high) => this.view.range || widen(low, high) },
        y: { distr: this.view.isLog ? 3 : 1, range: (_plot, low, high) => this.#rangeY(low, high) },
      },
      axes: [
        {
          ...axis,
          values: (_plot, splits) => splits.map(this.view.formatX),
          label: this.view.xName,
          labelSize: 20,
          size: 34,
        },
        {
          ...axis,
          values: (_plot, splits) =>
            splits.map((value) => (value === null ? "" : this.formatTick(value))),
          size: 54,
          ...(this.view.isLog && { splits: splitLog, filter: (_plot, splits) => splits }),
        },
      ],
      series: [{}, ...this.lines.map((line) => this.#createSeries(line))],
      hooks: {
        setSelect: [(plot) => this.#onSelect(plot)],
        setCursor: [(plot) => this.#showValues(plot.cursor.idx)],
      },
    };
  }

  #createSeries(line) {
    const colour = readColour(line.colour);
    return {
      label: line.name,
      stroke: colour,
      width: line.isFaint ? 1 : 2,
      alpha: line.isFaint ? FAINT_ALPHA : line.isCompared ? COMPARED_ALPHA : 1,
      dash: line.isCompared ? [6, 5] : undefined,
      spanGaps: true,
      points: { show: line.hasPoints === true, size: 6, fill: colour },
      show: !this.hidden.has(line.name),
    };
  }

  #createLegendEntry(line, place) {
    if (line.isFaint) return "";
    const value = h("strong");
    this.values[place] = value;
    const swatch = s(
      "svg",
      { width: 18, height: 8, "aria-hidden": "true" },
      s("line", {
        x1: 0,
        y1: 4,
        x2: 18,
        y2: 4,
        stroke: readColour(line.colour),
        "stroke-width": 3,
        "stroke-dasharray": line.isCompared ? "5 3" : null,
      }),
    );
    const button = h(
      "button",
      { type: "button", "aria-pressed": String(!this.hidden.has(line.name)) },
      swatch,
      line.name,
      value,
    );
    button.addEventListener("click", () => this.#toggle(line.name, button));
    return button;
  }

  #toggle(name, button) {
    const show = this.hidden.has(name);
    if (show) this.hidden.delete(name);
    else this.hidden.add(name);
    button.setAttribute("aria-pressed", String(show));
    this.lines.forEach((line, place) => {
      if (line.name === name || line.rawOf === name) this.plot.setSeries(place + 1, { show });
    });
  }

  #join() {
    const tables = this.lines.map((line) => [
      line.x,
      this.view.isLog ? line.y.map((value) => (value > 0 ? value : null)) : line.y,
    ]);
    return uPlot.join(tables);
  }

  #rangeY(low, high) {
    if (low === null || high === null) return [this.view.isLog ? 0.1 : 0, 1];
    if (this.view.isLog) return [low / 1.08, high * 1.08];
    const margin = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
  }

  #onSelect(plot) {
    if (plot.select.width < 4) return;
    const range = [
      plot.posToVal(plot.select.left, "x"),
      plot.posToVal(plot.select.left + plot.select.width, "x"),
    ];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onZoom(range);
  }

  #onKey(event) {
    const moves = {
      "+": ["zoom", 0.5],
      "=": ["zoom", 0.5],
      "-": ["zoom", 2],
      ArrowLeft: ["pan", -0.25],
      ArrowRight: ["pan", 0.25],
    };
    if (event.key === "0") this.onZoom(null);
    else if (moves[event.key] && this.plot) this.move(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  /** Zoom by a factor about the middle, or pan by a share of what is seen. */
  move(kind, amount) {
    if (!this.plot) return;
    const { min, max } = this.plot.scales.x;
    const all = this.plot.data[0];
    const [first, last] = [all[0], all.at(-1)];
    const width = kind === "zoom" ? (max - min) * amount : max - min;
    if (width >= last - first) {
      this.onZoom(null);
      return;
    }
    const middle = (min + max) / 2 + (kind === "pan" ? width * amount : 0);
    const from = Math.min(Math.max(first, middle - width / 2), last - width);
    this.onZoom([from, from + width]);
  }

  #showValues(index) {
    this.lines.forEach((line, place) => {
      const shown =
        index === null || index === undefined ? line.y.at(-1) : this.#valueAt(place, index);
      if (this.values[place])
        setText(
          this.values[place],
          shown === null || shown === undefined ? NONE : this.format(shown),
        );
    });
  }

  /** The value at the cursor, or the last one before it. */
  #valueAt(place, index) {
    const column = this.plot.data[place + 1];
    for (let row = index; row >= 0; row -= 1)
      if (column[row] !== null && column[row] !== undefined) return column[row];
    return null;
  }

  #describe() {
    this.#showValues(this.plot.cursor.idx);
    const latest = this.lines
      .filter((line) => !line.isFaint && line.y.length)
      .map((line) => `${line.name} ${this.format(line.y.at(-1))}`);
    this.canvas.setAttribute(
      "aria-label",
      `${this.title}. Latest: ${latest.join(", ")}. Plus and minus zoom, arrows move, 0 shows all.`,
    );
  }

  #size() {
    return { width: Math.max(200, this.canvas.clientWidth), height: this.canvas.clientHeight };
  }
}
