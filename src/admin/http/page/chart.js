// Charts of the last hour, as SVG: stacked areas or lines. A chart can be read with the pointer and
// with the arrow keys; both show the figures of one moment below it.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
// How far back a chart goes, in minutes: as far as there is something, so that a young process has
// more than a line at the edge.
const SPANS = [2, 6, 20, 60];
const HEIGHT = 170;
const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };

function svg(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// The smallest of 1, 2, 5, 10, ... that is not less.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * 0.999999);
}

class Chart {
  // series: [name, colour's letter]; options: title, stacked, top (a fixed one), format.
  constructor(figure, series, options) {
    this.figure = figure;
    this.series = series;
    this.options = options;
    this.at = [];
    this.values = series.map(() => []);
    this.marked = null;
    const caption = document.createElement("figcaption");
    caption.append(options.title);
    for (const [name, colour] of series) {
      const key = document.createElement("span");
      key.className = `key of-${colour}`;
      key.textContent = name;
      caption.append(key);
    }
    this.plot = document.createElement("div");
    this.plot.className = "plot";
    this.svg = svg("svg", { tabindex: "0", role: "img" });
    this.nothing = document.createElement("p");
    this.nothing.className = "nothing";
    this.nothing.textContent = "Nothing yet. The first point comes within ten seconds.";
    this.plot.append(this.svg, this.nothing);
    this.readout = document.createElement("output");
    this.readout.className = "readout";
    figure.append(caption, this.plot, this.readout);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.mark(null));
    this.svg.addEventListener("blur", () => this.mark(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  show(at, values) {
    // What was marked stays marked, although it moves.
    const time = this.marked === null ? null : this.at[this.marked];
    this.at = at;
    this.values = values;
    if (time !== null) this.marked = Math.max(0, at.indexOf(time));
    this.draw();
  }

  point(event) {
    if (!this.at.length) return;
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    let nearest = 0;
    this.at.forEach((_, i) => {
      if (Math.abs(this.x(i) - x) < Math.abs(this.x(nearest) - x)) nearest = i;
    });
    this.mark(nearest);
  }

  step(event) {
    const last = this.at.length - 1;
    const now = this.marked === null ? last + 1 : this.marked;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.mark(null);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.mark(Math.min(last, Math.max(0, to)));
  }

  mark(i) {
    this.marked = i;
    this.draw();
  }

  x(i) {
    const width = this.width - EDGE.left - EDGE.right;
    const end = this.at[this.at.length - 1];
    return EDGE.left + width * (1 - (end - this.at[i]) / (this.span * 60));
  }

  y(value) {
    const height = HEIGHT - EDGE.top - EDGE.bottom;
    return EDGE.top + height * (1 - Math.min(1, value / this.top));
  }

  draw() {
    this.width = Math.max(120, this.plot.clientWidth);
    const some = this.values.some((list) => list.some((value) => value !== null));
    this.nothing.hidden = some;
    const age = this.at.length ? this.at[this.at.length - 1] - this.at[0] : 0;
    this.span = SPANS.find((span) => age <= span * 60) || SPANS[SPANS.length - 1];
    // The sums below each series, for areas.
    this.floors = this.series.map((_, s) =>
      this.at.map((_, i) => this.options.stacked
        ? this.values.slice(0, s).reduce((sum, list) => sum + (list[i] || 0), 0) : 0));
    const all = this.values.flatMap((list, s) => list.map((value, i) => (value || 0) + this.floors[s][i]));
    this.top = this.options.top || ceiling(Math.max(0, ...all));
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.say(this.at.length - 1));
    this.svg.replaceChildren(...this.grid());
    if (some) this.series.forEach(([, colour], s) => this.svg.append(...this.paint(s, colour)));
    if (some && this.marked !== null && this.marked < this.at.length) {
      const x = this.x(this.marked);
      this.svg.append(svg("line", { class: "cross", x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
      this.readout.textContent = this.say(this.marked);
    } else {
      this.readout.textContent = "";
    }
  }

  grid() {
    const nodes = [];
    for (const share of [0, 0.5, 1]) {
      const y = this.y(this.top * share);
      nodes.push(svg("line", { class: "grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }));
      nodes.push(svg("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, this.options.format(this.top * share)));
    }
    const width = this.width - EDGE.left - EDGE.right;
    for (const [minutes, anchor] of [[this.span, "start"], [this.span / 2, "middle"], [0, "end"]]) {
      const x = EDGE.left + width * (1 - minutes / this.span);
      const text = minutes ? `${minutes} min ago` : "now";
      nodes.push(svg("text", { x, y: HEIGHT - 4, "text-anchor": anchor }, text));
    }
    return nodes;
  }

  // A piece for each run of values without a gap.
  paint(s, colour) {
    const [list, floor] = [this.values[s], this.floors[s]];
    const nodes = [];
    let run = [];
    const end = () => {
      if (run.length === 1 && !this.options.stacked) {
        const [i] = run;
        nodes.push(svg("circle", { class: `dot of-${colour}`, cx: this.x(i), cy: this.y(list[i]), r: 2.5 }));
      } else if (run.length > 1) {
        const along = run.map((i) => `${this.x(i).toFixed(1)} ${this.y(list[i] + floor[i]).toFixed(1)}`);
        const back = run.map((i) => `${this.x(i).toFixed(1)} ${this.y(floor[i]).toFixed(1)}`).reverse();
        const path = this.options.stacked ? `M${along.concat(back).join("L")}Z` : `M${along.join("L")}`;
        nodes.push(svg("path", { class: `${this.options.stacked ? "area" : "stroke"} of-${colour}`, d: path }));
      }
      run = [];
    };
    this.at.forEach((_, i) => {
      if (list[i] === null || list[i] === undefined) end();
      else run.push(i);
    });
    end();
    return nodes;
  }

  // The figures of one moment in words.
  say(i) {
    if (i < 0) return `${this.options.title}: nothing yet`;
    const time = new Date(this.at[i] * 1000).toLocaleTimeString();
    const parts = this.series.map(([name], s) => {
      const value = this.values[s][i];
      return `${name} ${value === null || value === undefined ? "none" : this.options.format(value)}`;
    });
    return `${time}: ${parts.join(", ")}`;
  }
}
