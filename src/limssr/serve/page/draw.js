// Pictures of scores: a point and its interval on the scale, a line over time, contributions window by window.
"use strict";

const NS = "http://www.w3.org/2000/svg";

export function make(name, parent, text, className) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  if (parent) parent.append(element);
  return element;
}

function shape(name, parent, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

export function shown(value, scale) {
  if (value === null || value === undefined) return "–";
  const span = scale ? scale[1] - scale[0] : Math.abs(value);
  return value.toFixed(span > 30 ? 1 : 2);
}

// The name of a score as a heading has it.
export function readable(name) {
  return name.replaceAll("_", " ").replaceAll("/", " / ");
}

// An end of a scale: whole, or as few digits as tell it.
export function end(value) {
  return String(Number(value.toPrecision(3)));
}

function outOf(one) {
  return ` of ${end(one.scale[1])} ${one.unit.includes("/") ? `(${one.unit})` : one.unit}`;
}

// More scores than a reader takes in at a glance stand closer.
function arrange(place, number) {
  place.classList.toggle("many", number > 6);
}

export function signed(value, scale) {
  const size = Math.abs(value);
  return `${value < 0 ? "−" : "+"}${size < 1 ? size.toFixed(size < 0.1 ? 3 : 2) : shown(size, scale)}`;
}

export function describe(name, one, level) {
  if (one.score === null) return `${name}: no score can be given`;
  const interval = one.low === null ? "" : `; ${Math.round(100 * level)} % interval from ${shown(one.low, one.scale)} to ${shown(one.high, one.scale)}`;
  return `${name}: ${shown(one.score, one.scale)} on a scale from ${end(one.scale[0])} to ${end(one.scale[1])} ${one.unit}${interval}`;
}

export function drawScores(place, scores, level, remarks) {
  place.textContent = "";
  arrange(place, Object.keys(scores).length);
  for (const [name, one] of Object.entries(scores)) drawScore(place, name, one, level, remarks(name, one));
}

function drawScore(place, name, one, level, remark) {
  const card = make("article", place);
  make("h3", card, readable(name));
  const value = make("p", card, shown(one.score, one.scale), "value");
  make("small", value, outOf(one));
  if (remark) make("p", card, remark, "quiet");
  const svg = shape("svg", card, { viewBox: "0 0 300 44", role: "img", "aria-label": describe(name, one, level) });
  const at = (score) => 6 + (288 * (score - one.scale[0])) / (one.scale[1] - one.scale[0]);
  shape("line", svg, { x1: 6, x2: 294, y1: 16, y2: 16, stroke: "var(--line)", "stroke-width": 4, "stroke-linecap": "round" });
  if (one.low !== null) {
    shape("rect", svg, { x: at(one.low), width: Math.max(at(one.high) - at(one.low), 1), y: 9, height: 14, rx: 4, fill: "var(--band)" });
  }
  if (one.score !== null) shape("circle", svg, { cx: at(one.score), cy: 16, r: 7, fill: "var(--accent)", stroke: "var(--card)", "stroke-width": 2 });
  shape("text", svg, { x: 2, y: 40 }, end(one.scale[0]));
  shape("text", svg, { x: 298, y: 40, "text-anchor": "end" }, end(one.scale[1]));
  if (one.score === null) make("p", card, "From these streams no score can be given.", "quiet");
  else if (one.low !== null) {
    make("p", card, `${Math.round(100 * level)} % interval: ${shown(one.low, one.scale)} to ${shown(one.high, one.scale)}`, "quiet");
  }
}

export function drawLive(place, points, total, level) {
  const names = Object.keys(points[points.length - 1].scores);
  place.textContent = "";
  arrange(place, names.length);
  for (const name of names) drawLine(place, name, points, total, level);
}

function drawLine(place, name, points, total, level) {
  const last = points[points.length - 1];
  const one = last.scores[name];
  const card = make("article", place);
  make("h3", card, readable(name));
  const value = make("p", card, shown(one.score, one.scale), "value");
  make("small", value, outOf(one));
  const svg = shape("svg", card, { viewBox: "0 0 300 120", role: "img", "aria-label": describe(name, one, level) });
  const x = (point) => 4 + (292 * point.segments) / Math.max(total, 1);
  const y = (score) => 100 - (96 * (score - one.scale[0])) / (one.scale[1] - one.scale[0]);
  shape("rect", svg, { x: 4, y: 4, width: 292, height: 96, fill: "none", stroke: "var(--line)" });
  const scored = points.filter((point) => point.scores[name].score !== null);
  const banded = scored.filter((point) => point.scores[name].low !== null);
  if (banded.length) {
    const upper = banded.map((point) => `${x(point)},${y(point.scores[name].high)}`);
    const lower = banded.map((point) => `${x(point)},${y(point.scores[name].low)}`).reverse();
    shape("polygon", svg, { points: [...upper, ...lower].join(" "), fill: "var(--band)", opacity: 0.8 });
  }
  shape("polyline", svg, { points: scored.map((point) => `${x(point)},${y(point.scores[name].score)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 2.5 });
  shape("text", svg, { x: 4, y: 116 }, "begin");
  shape("text", svg, { x: 296, y: 116, "text-anchor": "end" }, "end");
}

export function clock(segment, seconds) {
  if (!seconds) return `segment ${segment + 1}`;
  const at = Math.round(segment * seconds);
  return `${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`;
}

export function drawTimeline(place, found, criterion, seconds, seek) {
  place.textContent = "";
  const rows = Object.entries(found.time);
  const largest = Math.max(1e-12, ...rows.flatMap(([, one]) => one[criterion].map((value) => Math.abs(value || 0))));
  for (const [stream, one] of rows) {
    const row = make("div", place, null, "row");
    make("span", row, stream);
    const windows = make("div", row, null, "windows");
    windows.setAttribute("role", "img");
    windows.setAttribute("aria-label", `${stream}: ${one[criterion].filter((v) => v > 0).length} helpful and ${one[criterion].filter((v) => v < 0).length} harmful of ${found.windows.length} stretches; the list below names the largest`);
    one[criterion].forEach((value, number) => {
      const [begin, end] = found.windows[number];
      const cell = make("i", windows);
      cell.title = `${clock(begin, seconds)} to ${clock(end, seconds)}: ${value === null ? "nothing recorded" : signed(value, found.sample.scores[criterion].scale)}`;
      const height = value === null ? 0 : (50 * Math.abs(value)) / largest;
      const space = make("b", cell);
      space.style.height = value > 0 ? `${50 - height}%` : "50%";
      const bar = make("b", cell);
      bar.style.height = `${height}%`;
      bar.style.background = value > 0 ? "var(--helpful)" : "var(--harmful)";
      if (seek) cell.addEventListener("click", () => seek(begin * (seconds || 0)));
    });
  }
  make("p", place, "Bars above the middle raise the score, bars below lower it.", "quiet");
}

export function listStretches(place, found, criterion, seconds) {
  place.textContent = "";
  for (const [kind, title] of [["helpful", "Raises the score"], ["harmful", "Lowers the score"]]) {
    const column = make("div", place);
    make("h3", column, title, kind);
    const list = make("ul", column);
    for (const one of found.stretches[criterion][kind]) {
      const scale = found.sample.scores[criterion].scale;
      make("li", list, `${signed(one.contribution, scale)}  ${one.stream}, ${clock(one.begin, seconds)} to ${clock(one.end, seconds)}`);
    }
    if (!list.children.length) make("li", list, "nothing");
  }
  const column = make("div", place);
  make("h3", column, "Share of each stream");
  const list = make("ul", column);
  for (const [name, one] of Object.entries(found.streams)) {
    const value = one.contribution[criterion];
    make("li", list, `${value === null ? "–" : signed(value, found.sample.scores[criterion].scale)}  ${name}`);
  }
}
