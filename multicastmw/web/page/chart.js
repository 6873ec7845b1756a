// Lines over the last five minutes, on a canvas of their own.

import { KEPT } from "./history.js";
import { attribute, el, text } from "./dom.js";

const MINUTES = 5;
const WIDE = 60 * MINUTES; // seconds
const EDGE = 2;

/** The next of 1, 2, 5, 10, 20 ... above a value. */
function nice(value) {
  if (!(value > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * size).find((each) => each >= value);
}

export class Chart {
  /** `lines` are {name, title, colour (a CSS variable)} of one history, in one unit. */
  constructor(title, lines, unit, height = 84) {
    this.lines = lines;
    this.unit = unit;
    this.top = 0;
    this.canvas = el("canvas", { role: "img", height });
    this.canvas.style.height = `${height}px`; // whatever its pixels are
    this.height = height;
    this.most = el("span", { class: "most" });
    this.keys = lines.map((line) => ({ line, value: el("b", { class: "figure" }) }));
    const legend = el("figcaption", {}, el("span", { class: "title", text: title }),
      ...this.keys.map(({ line, value }) => el("span", { class: `key ${line.className ?? ""}` }, el("span", { text: line.title }), value)));
    this.node = el("figure", { class: "chart" }, legend, el("div", { class: "plot" }, this.canvas, this.most));
    this.title = title;
  }

  /** Draws it as of `now`; the newest stands at the right. */
  draw(history, now) {
    for (const { line, value } of this.keys) text(value, this.unit(history.last(line.name)));
    const width = this.canvas.clientWidth;
    if (!width) return;
    const highest = nice(Math.max(...this.lines.map((line) => history.max(line.name))));
    // It grows at once and shrinks only when there is much room, so that the picture does not breathe.
    if (highest > this.top || highest * 4 < this.top) this.top = highest;
    text(this.most, this.unit(this.top));
    attribute(this.canvas, "aria-label", `${this.title}, last ${MINUTES} minutes: ${this.keys.map(({ line, value }) => `${line.title} ${value.textContent}`).join(", ")}; the scale ends at ${this.unit(this.top)}`);
    this.paint(width, history, now);
  }

  paint(width, history, now) {
    const ratio = devicePixelRatio || 1;
    const wide = Math.round(width * ratio);
    const high = Math.round(this.height * ratio);
    if (this.canvas.width !== wide) this.canvas.width = wide;
    if (this.canvas.height !== high) this.canvas.height = high;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, this.height);
    const style = getComputedStyle(this.node);
    pen.strokeStyle = style.getPropertyValue("--grid");
    pen.lineWidth = 1;
    pen.beginPath();
    for (let minute = 1; minute < MINUTES; minute++) {
      const x = Math.round((width * minute) / MINUTES) + 0.5;
      pen.moveTo(x, 0);
      pen.lineTo(x, this.height);
    }
    for (const share of [0.5, 1]) {
      const y = Math.round(this.height - share * (this.height - EDGE) - EDGE / 2) + 0.5;
      pen.moveTo(0, y);
      pen.lineTo(width, y);
    }
    pen.stroke();
    for (const line of this.lines) this.paintLine(pen, line, style.getPropertyValue(line.colour), width, history, now);
  }

  paintLine(pen, line, colour, width, history, now) {
    const across = (at) => width - ((now - at) / WIDE) * width;
    const up = (value) => this.height - EDGE / 2 - (value / this.top) * (this.height - EDGE);
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    let from = null;
    let last = null;
    const close = () => {
      if (from === null) return;
      pen.stroke();
      pen.lineTo(last, this.height);
      pen.lineTo(from, this.height);
      pen.globalAlpha = 0.13;
      pen.fill();
      pen.globalAlpha = 1;
      from = null;
    };
    history.walk(line.name, (at, value) => {
      if (value !== value) return close();
      const x = across(at);
      if (x < -width / KEPT) return;
      if (from === null) {
        pen.beginPath();
        pen.moveTo(x, up(value));
        from = x;
      } else pen.lineTo(x, up(value));
      last = x;
    });
    close();
  }
}

/** A small line without axes, for a row. */
export class Spark {
  constructor(name, colour) {
    this.name = name;
    this.colour = colour;
    this.node = el("canvas", { class: "spark", width: 96, height: 20, "aria-hidden": "true" });
  }

  draw(history) {
    const pen = this.node.getContext("2d");
    const { width, height } = this.node;
    const most = history.max(this.name) || 1;
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = getComputedStyle(this.node).getPropertyValue(this.colour);
    pen.lineWidth = 1.5;
    pen.beginPath();
    const count = history.length;
    let place = KEPT - count;
    let drawing = false;
    history.walk(this.name, (_, value) => {
      const x = (place++ / (KEPT - 1)) * width;
      if (value !== value) return (drawing = false);
      const y = height - 1 - (value / most) * (height - 3);
      drawing ? pen.lineTo(x, y) : pen.moveTo(x, y);
      return (drawing = true);
    });
    pen.stroke();
  }
}
