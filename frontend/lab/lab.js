// The lab's page: shows the workers of a local cluster, breaks them, and shows how they heal.

import { when } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { language, setLanguage, translatePage } from "/common/words.js";
import { t } from "/texts.js";

const STORED = "minka.lab.token";
const LOOK_ms = 250;
const TONES = { leads: "good", whole: "good", start: "good", resume: "good", mend: "good", heal: "good", noLeader: "bad" };
const NOTICES = { damage: "bad", repair: "good", space: "warn" };

const token = takeToken();
const get = (id) => document.getElementById(id);

// The token comes in the fragment of the first address, and leaves the address at once.
function takeToken() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (match) {
    sessionStorage.setItem(STORED, match[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(STORED) ?? "";
}

async function ask(path, options = {}) {
  const headers = { "X-Minka-Token": token, "Content-Type": "application/json" };
  const answer = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(10_000) });
  if (answer.status === 403) throw new Error(t("token"));
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.reason);
  return told;
}

function draw({ workers, cuts, story }) {
  const known = workers.filter((worker) => worker.row);
  const indexes = new Set(known.map((worker) => worker.row.applied_index));
  const digests = new Set(known.map((worker) => worker.row.state_digest));
  let [tone, text] = ["warn", t("behind", { count: known.length, all: workers.length })];
  if (indexes.size === 1 && digests.size > 1) [tone, text] = ["bad", t("different")];
  else if (known.length === workers.length && indexes.size === 1) [tone, text] = ["good", t("equal", { count: workers.length })];
  render(get("verdict"), html`<span class="badge" data-tone="${tone}">${text}</span>`);
  renderRows(get("workers"), workers, (worker) => worker.id, workerItem);
  renderRows(get("links"), pairs(workers), ([one, other]) => `${one} ${other}`, (pair) => linkItem(pair, cuts));
  get("story-empty").hidden = story.length > 0;
  renderRows(get("story"), story.toReversed(), (line) => line.line, storyItem);
}

function pairs(workers) {
  return workers.flatMap((one, place) => workers.slice(place + 1).map((other) => [one.id, other.id]));
}

function workerItem({ id, monitor, process, row }) {
  const role = process === "running" ? row?.role ?? "unknown" : "unknown";
  const acts = { running: ["pause", "kill", "flip"], paused: ["resume", "kill"], gone: ["start", "flip"] }[process];
  return html`<li class="worker" data-role="${role}" data-process="${process}">
    <p class="name">${id} <span class="badge" data-role="${role}">${process === "running" ? t(`role.${role}`) : t(process)}</span></p>
    <p class="note">${row && html`${t("term", { term: row.term })} · ${t("applied", { index: row.applied_index })} · <span class="code">${row.state_digest.slice(0, 10)}</span>`}</p>
    <p class="acts">${acts.map((act) => html`<button class="button" type="button" data-act="${act}" data-worker="${id}" data-kind="${act === "kill" || act === "flip" ? "danger" : ""}">${t(act)}</button>`)}
    <a class="button" href="http://${monitor}/" target="_blank" rel="noreferrer">${t("monitor")}</a></p>
  </li>`;
}

function linkItem([one, other], cuts) {
  const cut = cuts.some(([a, b]) => a === one && b === other);
  const act = cut ? "mend" : "cut";
  return html`<li class="link" data-cut="${String(cut)}"><span>${one}</span><i></i><span>${other}</span>
    <button class="button" type="button" data-act="${act}" data-worker="${one}" data-other="${other}" aria-label="${t(act)} ${one} – ${other}">${t(act)}</button></li>`;
}

function storyItem(line) {
  const tone = line.kind === "notice" ? NOTICES[line.what] : TONES[line.kind] ?? "warn";
  const key = line.kind === "notice" && line.id ? `said.${line.what}` : `said.${line.kind}`;
  return html`<li><span class="badge" data-tone="${tone}">${when(line.time)}</span> <span>${t(key, line)}</span></li>`;
}

async function look() {
  try {
    draw(await ask("/api/state"));
    document.body.classList.remove("lost");
    if (get("problem").dataset.of === "look") get("problem").textContent = "";
  } catch (error) {
    document.body.classList.add("lost");
    say(error instanceof TypeError ? t("lost") : error.message, "look");
  }
  setTimeout(look, LOOK_ms);
}

function say(text, of) {
  get("problem").dataset.of = of;
  get("problem").textContent = text;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const { act, worker, other } = button.dataset;
  button.disabled = true;
  try {
    say("", "act");
    await ask("/api/do", { method: "POST", body: JSON.stringify({ act, worker, other }) });
  } catch (error) {
    say(error.message, "act");
  }
  button.disabled = false;
});

translatePage(t);
get("language").textContent = t("otherLanguage");
get("language").addEventListener("click", () => setLanguage(language === "es" ? "en" : "es"));
look();
