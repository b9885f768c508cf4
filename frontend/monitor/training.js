// One job: its rounds as a chart, who computes which shard, and why it failed if it did.

import { drawEvaluation, evaluationWords } from "/common/confusion.js";
import { count, decimal, duration, share } from "/common/format.js";
import { html, render } from "/common/html.js";
import { drawChart } from "/chart.js";
import { t } from "/texts.js";

let chosen = null;
const asked = new Set();

// The model that is looked at: the one that was chosen, else the one that trains, else the newest.
export function chosenModel(state) {
  const models = [...state.models.values()];
  return state.models.get(chosen) ?? models.findLast((model) => model.status === "training") ?? models.at(-1) ?? null;
}

export function watchJobs(state, redraw) {
  document.getElementById("model-rows").addEventListener("click", (event) => {
    const picked = event.target.closest("[data-model]");
    if (!picked) return;
    chosen = picked.dataset.model;
    redraw();
  });
  state.addEventListener("files", (event) => event.detail.again && asked.clear());
}

export function drawJob(state) {
  const model = chosenModel(state);
  const place = document.getElementById("job");
  place.hidden = !model;
  if (!model) return;
  if (!asked.has(model.id)) {
    asked.add(model.id);
    state.askRounds(model.id);
  }
  document.getElementById("job-title").textContent = model.name || model.id;
  const job = (state.vitals.jobs ?? []).find((one) => one.model === model.id);
  render(document.getElementById("job-facts"), html`${facts(model, job).map(([name, value]) => html`<div><dt>${t(name)}</dt><dd>${value}</dd></div>`)}`);
  const rounds = [...(state.rounds.get(model.id)?.values() ?? [])].sort((a, b) => a.round - b.round);
  document.getElementById("job-chart").toggleAttribute("hidden", rounds.length < 2);
  if (rounds.length >= 2) drawChart(document.getElementById("job-chart"), rounds, model.rounds);
  render(document.getElementById("job-shards"), html`${job ? shards(job) : ""}`);
  const found = model.evaluation;
  render(document.getElementById("job-evaluation"), html`${found && html`<h3>${evaluationWords(found)}</h3>${drawEvaluation(found)}`}`);
  render(document.getElementById("job-error"), html`${model.error && failure(model)}`);
}

function facts(model, job) {
  const spec = model.spec ?? {};
  return [
    ["round", model.rounds ? `${count(job?.round ?? model.round)} / ${count(model.rounds)}` : "–"],
    ["reached", share(model.test_accuracy)],
    ["imagesPerSecond", count((job?.images_per_second ?? model.images_per_second) || null)],
    ["took", duration(model.seconds)],
    ["examples", count(model.examples)],
    ["epochs", count(spec.epochs)],
    ["batch", count(spec.batch)],
    ["shards", count(spec.shards)],
    ["rate", decimalOr(spec.lr)],
  ];
}

function decimalOr(value) {
  return typeof value === "number" && value < 0.1 ? String(value) : decimal(value);
}

// The shards of this round, each with the worker that computes it now; below, what each worker has computed so far.
function shards(job) {
  const open = new Map(job.shards.map(([number, workers]) => [number, workers]));
  const all = Array.from({ length: Math.min(job.of ?? job.shards.length, 64) }, (_, number) => number);
  const most = Math.max(...Object.values(job.work), 1);
  return html`<h3>${t("shardsOf", { round: count(job.round + 1), rounds: count(job.rounds) })}</h3>
    <ol class="shards">${all.map((number) => shard(number, open.get(number)))}</ol>
    <h3>${t("workSoFar")}</h3>
    <ul class="work">${Object.entries(job.work).sort().map(
      ([worker, done]) => html`<li><span>${worker}</span><progress class="bar" max="${most}" value="${done}">${done}</progress><span class="number">${count(done)}</span></li>`,
    )}</ul>`;
}

function shard(number, workers) {
  if (!workers) return html`<li data-stage="done" title="${t("shardDone", { number })}">${number}<span>✓</span></li>`;
  const names = Object.keys(workers);
  if (!names.length) return html`<li data-stage="waits" title="${t("shardWaits", { number })}">${number}<span>…</span></li>`;
  const since = duration(Math.max(...Object.values(workers)));
  return html`<li data-stage="runs" title="${t("shardRuns", { number, workers: names.join(", "), since })}">${number}<span>${names.join(" ")}</span></li>`;
}

function failure(model) {
  return html`<h3>${t("whyFailed")}</h3><p class="reason">${model.error}</p>
    ${model.traceback && html`<details open><summary>${t("traceback")}</summary><pre tabindex="0">${model.traceback}</pre></details>`}`;
}
