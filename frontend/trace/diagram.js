// The drawings: the whole time as bands of roles, and a window of steps with a lane for each worker.

const SVG = "http://www.w3.org/2000/svg";
const LANE = 92;
const COLUMN = 30;
const BAND = 14;
const WIDE = 1000;

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function drawWhole(svg, story, place) {
  const end = Math.max(story.steps.at(-1)?.time ?? 1, 1);
  const x = (time) => ((time / end) * WIDE).toFixed(2);
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${story.workers.length * (BAND + 4)}`);
  if (!svg.dataset.drawn) {
    svg.dataset.drawn = "yes";
    story.workers.forEach((_, worker) => {
      const y = worker * (BAND + 4) + 2;
      let [role, since] = [story.roleBefore(worker), 0];
      const band = (until) => svg.append(shape("rect", { x: x(since), y, width: Math.max(x(until) - x(since), 0.6), height: BAND, "data-role": role }));
      for (const moment of story.moments) {
        const step = story.steps[moment];
        if (step.worker !== worker) continue;
        band(step.time);
        [role, since] = [step.name, step.time];
      }
      band(end);
    });
    svg.append(shape("line", { class: "now", y1: 0, y2: "100%" }));
  }
  const now = svg.querySelector(".now");
  const at = x(story.steps[place]?.time ?? 0);
  now.setAttribute("x1", at);
  now.setAttribute("x2", at);
}

// `shown`: the places of the steps that pass the filter; `position`: which of them is the present one.
function drawDiagram(svg, story, shown, position) {
  const columns = Math.max(6, Math.floor(svg.clientWidth / COLUMN));
  const from = Math.max(0, Math.min(position - Math.floor(columns * 0.7), shown.length - columns));
  const window_ = shown.slice(from, from + columns);
  const column = new Map(window_.map((place, number) => [place, number * COLUMN + COLUMN / 2]));
  const y = (worker) => worker * LANE + LANE / 2;
  svg.setAttribute("height", story.workers.length * LANE);
  svg.replaceChildren(arrowHeads());
  const now = column.get(shown[position]);
  if (now !== undefined) svg.append(shape("rect", { class: "present", x: now - COLUMN / 2, y: 0, width: COLUMN, height: story.workers.length * LANE, rx: 6 }));
  drawLanes(svg, story, window_, column, y);
  for (const place of window_) {
    const step = story.steps[place];
    if (step.what === "s") svg.append(arrow(story, place, column.get(place), column.get(step.partner), y, position, shown));
    else if (step.what === "h" && !column.has(step.partner)) svg.append(stub(step, column.get(place), y));
  }
  for (const place of window_) svg.append(dot(story, place, column.get(place), y, place > shown[position]));
}

function arrowHeads() {
  const defs = shape("defs");
  for (const kind of ["election", "replication", "heartbeat", "read", "snapshot"]) {
    const head = shape("marker", { id: `head-${kind}`, viewBox: "0 0 8 8", refX: 11, refY: 4, markerWidth: 6.5, markerHeight: 6.5, orient: "auto" });
    head.append(shape("path", { d: "M0 0L8 4L0 8Z", "data-kind": kind }));
    defs.append(head);
  }
  return defs;
}

// Each lane has the colour of the role that its worker has at that column.
function drawLanes(svg, story, window_, column, y) {
  if (!window_.length) return;
  const before = story.at(window_[0] - 1);
  story.workers.forEach((_, worker) => {
    let role = before[worker].role;
    let since = 0;
    const piece = (until) => svg.append(shape("line", { class: "lane", x1: since, x2: until, y1: y(worker), y2: y(worker), "data-role": role }));
    for (const place of window_) {
      const step = story.steps[place];
      if (step.what !== "r" || step.worker !== worker) continue;
      piece(column.get(place));
      [role, since] = [step.name, column.get(place)];
    }
    piece(svg.clientWidth);
  });
}

function arrow(story, place, x1, x2, y, position, shown) {
  const step = story.steps[place];
  const future = place > shown[position];
  const group = shape("g", { class: `message${future ? " future" : ""}`, "data-kind": step.kind });
  const [from, to] = [y(step.worker), y(step.peer)];
  if (x2 === undefined) {
    const fate = story.fate(step);
    const part = fate === "arrived" ? 0.8 : 0.45;
    group.append(shape("line", { class: fate, x1, y1: from, x2: x1 + COLUMN * part * 1.6, y2: from + (to - from) * part }));
    if (fate === "lost") group.append(shape("text", { x: x1 + COLUMN * part * 1.6, y: from + (to - from) * part + 4, class: "cross" }, "×"));
  } else {
    group.append(shape("line", { x1, y1: from, x2, y2: to, "marker-end": `url(#head-${step.kind})` }));
  }
  group.append(shape("title", {}, story.sentence(step)));
  return group;
}

function stub(step, x, y) {
  const [from, to] = [y(step.peer), y(step.worker)];
  const group = shape("g", { class: "message", "data-kind": step.kind });
  group.append(shape("line", { x1: x - COLUMN * 0.8, y1: to + (from - to) * 0.5, x2: x, y2: to, "marker-end": `url(#head-${step.kind})` }));
  return group;
}

function dot(story, place, x, y, future) {
  const step = story.steps[place];
  const group = shape("g", { class: `event${future ? " future" : ""}`, "data-place": place, "data-kind": step.kind });
  if (step.what === "r") {
    group.append(shape("rect", { x: x - 9, y: y(step.worker) - 9, width: 18, height: 18, rx: 4, "data-role": step.name }));
  } else if (step.what === "a") {
    group.append(shape("text", { x, y: y(step.worker) + 5, class: "tick" }, "✓"));
    group.append(shape("text", { x, y: y(step.worker) + 22, class: "index" }, step.fields.index));
  } else {
    group.append(shape("circle", { cx: x, cy: y(step.worker), r: 4.5 }));
  }
  group.append(shape("title", {}, story.sentence(step)));
  return group;
}
