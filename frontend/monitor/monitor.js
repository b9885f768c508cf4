// The monitor page: joins what is known (state.js) with what is drawn, at most once a frame for each part.

import { html, render } from "/common/html.js";
import { language, setLanguage, translatePage } from "/common/words.js";
import { drawCluster } from "/cluster.js";
import { drawMatrix, drawVerdict, watchFiles } from "/consistency.js";
import { drawEvents, watchEvents } from "/events.js";
import { drawLanes } from "/lanes.js";
import { drawLog } from "/log.js";
import { drawModels } from "/models.js";
import { drawGauges, drawOverview } from "/overview.js";
import { drawRecords, watchRecords } from "/records.js";
import { MonitorState } from "/state.js";
import { t } from "/texts.js";
import { drawJob, watchJobs } from "/training.js";
import { drawTransfers } from "/transfers.js";

const TONES = { live: "good", connecting: "", lost: "bad", failed: "bad", silent: "bad" };

// Which parts are drawn again when something changes.
const PARTS = {
  status: [drawOverview, drawCluster, drawVerdict, drawMatrix, drawLanes, drawLog],
  vitals: [drawOverview, drawCluster, drawLanes, drawLog, drawJob, drawTransfers],
  samples: [drawGauges],
  rounds: [drawJob],
  files: [],
  models: [drawModels, drawMatrix, drawJob],
  records: [drawRecords, drawOverview],
  log: [drawLog],
  notices: [drawEvents],
  connection: [drawConnection],
};

const state = new MonitorState();
const due = new Set();

function draw() {
  const parts = [...due];
  due.clear();
  for (const part of parts) part(state);
}

function drawSoon(parts) {
  if (!due.size) requestAnimationFrame(draw);
  for (const part of parts) due.add(part);
}

function drawConnection() {
  const { state: name, reason } = state.connection;
  document.body.classList.toggle("lost", name === "lost" || name === "silent");
  render(
    document.getElementById("connection"),
    html`<span class="badge" data-tone="${TONES[name]}">${t(name, { reason })}</span>`,
  );
}

function markSection() {
  const links = [...document.querySelectorAll(".bar-top nav a")];
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        const link = links.find((one) => one.hash === `#${target.id}`);
        if (isIntersecting) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-20% 0px -75%" },
  );
  for (const link of links) watcher.observe(document.querySelector(link.hash));
}

translatePage(t);
const toggle = document.getElementById("language");
toggle.textContent = t("otherLanguage");
toggle.addEventListener("click", () => setLanguage(language === "es" ? "en" : "es"));
watchFiles(state, () => drawSoon([drawMatrix]));
watchJobs(state, () => drawSoon([drawModels, drawJob]));
watchEvents(() => drawSoon([drawEvents]));
watchRecords(state);
markSection();
state.addEventListener("change", (event) => drawSoon(PARTS[event.detail]));
state.start();
