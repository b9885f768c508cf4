// Loss and accuracy over the rounds of one job: two lines, each with an axis of its own; a cursor tells the figures.

import { count, share } from "/common/format.js";
import { t } from "/texts.js";

const SVG = "http://www.w3.org/2000/svg";
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [230, 46, 52, 12, 26];
const WIDE = 640;
const MARKS = 4;

// As wide as its place, so that its letters are as large as the page's.
let width = WIDE;

const x = (round, rounds) => LEFT + ((width - LEFT - RIGHT) * (round - 1)) / Math.max(rounds - 1, 1);
const y = (part) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - part);

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// `rows`: rounds in order, with `loss` and perhaps `test_accuracy`; `rounds`: how many there will be.
export function drawChart(svg, rows, rounds) {
  width = Math.min(WIDE, svg.clientWidth || WIDE);
  const all = Math.max(rounds || 0, rows.at(-1).round);
  const top = Math.max(...rows.map((row) => row.loss)) || 1;
  const known = rows.filter((row) => typeof row.test_accuracy === "number");
  const low = known.length ? Math.floor(Math.min(...known.map((row) => row.test_accuracy)) * 10) / 10 : 0;
  const accuracy = (value) => (value - low) / Math.max(1 - low, 0.001);
  const last = known.at(-1);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("aria-label", t("chart", { round: count(rows.at(-1).round), loss: rows.at(-1).loss.toFixed(4), accuracy: last ? share(last.test_accuracy) : "–" }));
  svg.replaceChildren(...axes(all, top, low, known.length > 0));
  svg.append(line(rows.map((row) => [x(row.round, all), y(row.loss / top)]), "loss"));
  if (known.length) {
    const points = known.map((row) => [x(row.round, all), y(accuracy(row.test_accuracy))]);
    svg.append(line(points, "accuracy"));
    if (points.length < 60) for (const [cx, cy] of points) svg.append(shape("circle", { cx, cy, r: 2.6, class: "accuracy" }));
  }
  const cursor = shape("g", { class: "cursor", visibility: "hidden" });
  cursor.append(shape("line", { y1: TOP, y2: HEIGHT - BOTTOM }), shape("text", { y: TOP + 10 }));
  svg.append(cursor);
  svg.onpointerleave = () => cursor.setAttribute("visibility", "hidden");
  svg.onpointermove = (event) => point(svg, cursor, event, rows, all);
}

function axes(all, top, low, hasAccuracy) {
  const made = [];
  for (let mark = 0; mark <= MARKS; mark += 1) {
    const part = mark / MARKS;
    made.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(part), y2: y(part) }));
    made.push(shape("text", { class: "loss", x: LEFT - 6, y: y(part) + 4, "text-anchor": "end" }, (top * part).toPrecision(2)));
    if (hasAccuracy) made.push(shape("text", { class: "accuracy", x: width - RIGHT + 6, y: y(part) + 4 }, share(low + (1 - low) * part)));
  }
  made.push(shape("text", { x: LEFT, y: HEIGHT - 8, class: "name" }, t("roundOne")));
  made.push(shape("text", { x: width - RIGHT, y: HEIGHT - 8, "text-anchor": "end", class: "name" }, count(all)));
  made.push(shape("text", { x: width / 2 - 40, y: HEIGHT - 8, class: "loss", "text-anchor": "end" }, `— ${t("loss")}`));
  if (hasAccuracy) made.push(shape("text", { x: width / 2 - 20, y: HEIGHT - 8, class: "accuracy" }, `— ${t("accuracy")}`));
  return made;
}

function line(points, name) {
  return shape("path", { class: name, d: `M${points.map(([left, up]) => `${left.toFixed(1)} ${up.toFixed(1)}`).join("L")}` });
}

function point(svg, cursor, event, rows, all) {
  const box = svg.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * width;
  const row = rows.reduce((best, one) => (Math.abs(x(one.round, all) - at) < Math.abs(x(best.round, all) - at) ? one : best));
  const place = x(row.round, all);
  const [mark, text] = cursor.children;
  mark.setAttribute("x1", place);
  mark.setAttribute("x2", place);
  const right = place > width * 0.6;
  text.setAttribute("x", place + (right ? -8 : 8));
  text.setAttribute("text-anchor", right ? "end" : "start");
  const reached = typeof row.test_accuracy === "number" ? ` · ${share(row.test_accuracy)}` : "";
  text.textContent = `${count(row.round)}: ${row.loss.toFixed(4)}${reached}`;
  cursor.setAttribute("visibility", "visible");
}
