// Joins the story with the drawings: where one is, what is shown, and how one moves.

const get = (id) => document.getElementById(id);
const story = new Story(JSON.parse(get("data").textContent));
const hidden = new Set(["heartbeat", "read"]);
const AROUND = 7;
const MOMENTS_SHOWN = 200;

let shown = [];
let position = 0;
let playing = null;

function clock(time) {
  return `+${(time / 1e6).toFixed(6)} s`;
}

function choose() {
  const place = shown[position] ?? 0;
  shown = story.steps.flatMap((step, one) => (hidden.has(step.kind) ? [] : [one]));
  get("position").max = Math.max(shown.length - 1, 0);
  goTo(place);
}

// To the first step that is shown, at or after this place.
function goTo(place) {
  const found = shown.findIndex((one) => one >= place);
  move(found < 0 ? shown.length - 1 : found);
}

function move(to) {
  position = Math.max(0, Math.min(to, shown.length - 1));
  draw();
}

function draw() {
  const place = shown[position];
  get("position").value = position;
  if (place === undefined) return;
  const step = story.steps[place];
  const fate = story.fate(step);
  const said = story.sentence(step) + (fate === "arrived" ? "" : ` – ${t(fate)}`);
  get("said").textContent = `${clock(step.time)}  ${said}`;
  get("diagram").setAttribute("aria-label", t("diagram", { step: position + 1, all: shown.length, said }));
  drawWhole(get("whole"), story, place);
  drawDiagram(get("diagram"), story, shown, position);
  drawLabels(story.at(place));
  drawEvents();
  for (const one of get("moments").querySelectorAll("button")) {
    one.toggleAttribute("aria-current", Number(one.dataset.place) === place);
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function drawLabels(states) {
  get("lanes").replaceChildren(
    ...states.map((state, worker) => {
      const lane = document.createElement("li");
      const badge = element("span", "badge", t(`role.${state.role}`));
      badge.dataset.role = state.role;
      const parts = [["term", { term: state.term }], ["log", { index: state.log }], ["applied", { index: state.applied }]];
      const facts = parts.filter(([, values]) => Object.values(values)[0] !== null).map(([key, values]) => element("span", "", t(key, values)));
      const about = element("p", "note", "");
      about.append(...facts);
      lane.append(element("strong", "", story.id(worker)), badge, about);
      return lane;
    }),
  );
}

function drawEvents() {
  const rows = shown.slice(Math.max(0, position - AROUND), position + AROUND + 1).map((place) => {
    const step = story.steps[place];
    const row = document.createElement("tr");
    row.toggleAttribute("aria-current", place === shown[position]);
    row.dataset.kind = step.kind;
    row.append(element("td", "number", clock(step.time)), element("td", "", story.id(step.worker)), element("td", "", story.sentence(step)));
    return row;
  });
  get("events").replaceChildren(...rows);
}

function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => (position < shown.length - 1 ? move(position + 1) : play(false)), 1000 / Number(get("speed").value)) : null;
  get("play").textContent = t(playing ? "pause" : "play");
}

function moment(way) {
  const place = shown[position] ?? 0;
  const found = way > 0 ? story.moments.find((one) => one > place) : story.moments.findLast((one) => one < place);
  if (found !== undefined) goTo(found);
}

function prepare() {
  translate();
  get("language").textContent = t("other");
  get("language").addEventListener("click", otherLanguage);
  const end = story.steps.at(-1)?.time ?? 0;
  const start = new Date(story.start * 1000).toLocaleString(language);
  get("about").textContent = t("about", { events: story.steps.length.toLocaleString(language), seconds: (end / 1e6).toFixed(1), start });
  const [first, ...others] = story.workers;
  const list = others.map((worker) => {
    if (!worker.told) return `${worker.id} ${t("silent")}`;
    return worker.doubt_ms === null ? `${worker.id} ${t("alone")}` : `${worker.id} ${worker.offset_ms >= 0 ? "+" : ""}${worker.offset_ms} ± ${worker.doubt_ms} ms`;
  });
  if (others.length) get("clocks").textContent = t("clocks", { first: first.id, list: list.join(", ") });
  get("whole").setAttribute("aria-label", t("whole"));
  for (const kind of story.kinds) get("kinds").append(filter(kind));
  prepareMoments();
}

function filter(kind) {
  const label = element("label", "kind", "");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !hidden.has(kind);
  box.addEventListener("change", () => {
    if (box.checked) hidden.delete(kind);
    else hidden.add(kind);
    choose();
  });
  label.dataset.kind = kind;
  label.append(box, t(`kind.${kind}`));
  return label;
}

function prepareMoments() {
  get("moments-count").textContent = story.moments.length.toLocaleString(language);
  get("moments-empty").hidden = story.moments.length > 0;
  get("moments").append(
    ...story.moments.slice(-MOMENTS_SHOWN).map((place) => {
      const item = document.createElement("li");
      const go = element("button", "moment", "");
      go.type = "button";
      go.dataset.place = place;
      go.dataset.role = story.steps[place].name;
      go.append(element("span", "number", clock(story.steps[place].time)), element("span", "", story.sentence(story.steps[place])));
      go.addEventListener("click", () => goTo(place));
      item.append(go);
      return item;
    }),
  );
}

const KEYS = {
  ArrowLeft: (event) => move(position - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => move(position + (event.shiftKey ? 10 : 1)),
  Home: () => move(0),
  End: () => move(shown.length - 1),
  " ": () => play(!playing),
  n: () => moment(1),
  p: () => moment(-1),
};

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  const busy = event.target.closest("button, input, select, .scroll") && (event.key === " " || event.target.matches("select, .scroll, #position"));
  if (!act || busy || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  act(event);
});
get("first").addEventListener("click", () => move(0));
get("before").addEventListener("click", () => move(position - 1));
get("next").addEventListener("click", () => move(position + 1));
get("last").addEventListener("click", () => move(shown.length - 1));
get("play").addEventListener("click", () => play(!playing));
get("speed").addEventListener("change", () => playing && play(true));
get("position").addEventListener("input", (event) => move(Number(event.target.value)));
get("whole").addEventListener("click", (event) => {
  const box = get("whole").getBoundingClientRect();
  const time = ((event.clientX - box.left) / box.width) * (story.steps.at(-1)?.time ?? 0);
  goTo(story.steps.findIndex((step) => step.time >= time));
});
get("diagram").addEventListener("click", (event) => {
  const place = event.target.closest("[data-place]")?.dataset.place;
  if (place !== undefined) goTo(Number(place));
});
addEventListener("resize", draw);

prepare();
play(false);
choose();
if (story.moments.length) goTo(story.moments[0]);
