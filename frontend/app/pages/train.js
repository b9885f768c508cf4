// Train: choose what to learn from and what to make, start, and watch the curve.

import { count, duration, share } from "/common/format.js";
import { html, render } from "/common/html.js";
import { BridgeError, request } from "/bridge.js";
import { icons } from "/icons.js";
import { trainingChart } from "/parts/chart.js";
import { DataChoice } from "/parts/data_choice.js";
import { setDropTarget } from "/parts/drop.js";
import { sendData, sendDataHandles } from "/parts/folder_upload.js";
import { statusBadge, unfinished } from "/parts/status_badge.js";
import { toast, toastFailure } from "/parts/toast.js";
import { drawOptions, readOptions } from "/parts/train_options.js";
import { workShare } from "/parts/work_share.js";
import { cluster, connection, datasets, files, ModelDetails, models } from "/stores.js";
import { failureText, t } from "/words.js";

// What the person has chosen, kept while they look at other pages.
let chosen = {};
const details = new ModelDetails();
let watched = null; // the model that the person wants to see; null: the newest that runs

export function mountTrain(root, wanted) {
  render(root, html`
    <header class="page-head"><h1>${t("page.train")}</h1><p class="note">${t("train.lead")}</p></header>
    <div class="columns">
      <form class="card form" id="form" novalidate>
        <fieldset><legend>${t("train.data")}</legend><div id="data"></div><p class="note">${t("train.data.text")}</p></fieldset>
        <fieldset><legend>${t("train.model")}</legend><div class="form-part" id="options"></div></fieldset>
        <div class="form-end"><button class="button" data-kind="primary" type="submit">${icons.train}${t("train.start")}</button>
          <p class="problem" id="problem" role="alert"></p></div>
      </form>
      <div class="stack">
        <nav class="running" id="running" aria-label="${t("train.running")}" hidden></nav>
        <section class="card" id="progress" aria-label="${t("train.progress")}"></section>
      </div>
    </div>`);
  const form = root.querySelector("#form");
  const progress = root.querySelector("#progress");
  const data = new DataChoice(form.querySelector("#data"));
  let awaited = new Set(); // names of what was dropped here, on its way into the cluster
  data.chosen = chosen;
  if (wanted) data.pick(wanted);
  drawOptions(form.querySelector("#options"));

  const drawData = () => {
    const rows = files.value?.files ?? null;
    const arrived = rows?.findLast((row) => awaited.has(row.name));
    if (arrived) {
      awaited = new Set();
      data.pick(arrived.id);
    }
    if (rows !== null) data.show(datasets.value?.datasets ?? [], rows);
    else data.wait(Boolean(connection.value?.reason));
    form.querySelector("[type=submit]").disabled = connection.value?.state !== "online" || (rows !== null && data.empty);
  };
  const drawCurve = () => drawProgress(progress, details);
  const pick = () => {
    const rows = models.value?.models ?? [];
    const live = rows.filter(unfinished);
    const known = rows.find((row) => row.id === watched) ?? live.at(-1) ?? rows.find((row) => row.id === details.id) ?? rows.at(-1);
    if (known) details.follow(known.id);
    drawRunning(root.querySelector("#running"), live, details.id);
    drawCurve();
  };
  const take = async (sending) => {
    try {
      awaited = new Set(await sending);
      toast(t("train.arriving"));
      drawData();
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      toastFailure(error);
    }
  };
  setDropTarget({ label: () => t("train.release"), files: (list) => take(sendData(list, toastFailure)), handles: (offers) => take(sendDataHandles(offers)) });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(form, data.spec);
  });
  root.querySelector("#running").addEventListener("click", (event) => {
    const { model } = event.target.closest("[data-model]")?.dataset ?? {};
    if (!model) return;
    watched = model;
    pick();
  });
  progress.addEventListener("click", (event) => {
    if (event.target.closest("[data-action=cancel]")) cancel(details.id);
  });
  details.addEventListener("change", drawCurve);
  details.start();
  const endings = [files.watch(drawData), datasets.watch(drawData), connection.watch(drawData), models.watch(pick), cluster.watch(drawCurve), connection.watch(drawCurve)];
  return () => {
    chosen = data.chosen;
    endings.forEach((end) => end());
    details.removeEventListener("change", drawCurve);
    details.stop();
  };
}

async function start(form, data) {
  const problem = form.querySelector("#problem");
  const { spec, problem: wrong, field } = readOptions(form);
  problem.textContent = "";
  if (!data.inputs || !data.outputs) {
    problem.textContent = t("train.missing");
    form.querySelector(`[name=${data.inputs ? "outputs" : "inputs"}]`).focus();
    return;
  }
  if (wrong) {
    problem.textContent = wrong;
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    return;
  }
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const { model } = await request("POST", "/api/models", { json: { ...spec, ...data } });
    watched = model;
    toast(t("train.started", { model }));
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    problem.textContent = failureText(error);
  } finally {
    button.disabled = false;
  }
}

async function cancel(model) {
  try {
    await request("POST", `/api/models/${encodeURIComponent(model)}/cancel`);
    toast(t("train.cancelled", { model }));
  } catch (error) {
    toastFailure(error);
  }
}

function drawRunning(place, live, shown) {
  place.hidden = live.length < 2;
  render(place, html`${live.map((row) => html`<button type="button" class="chip" data-model="${row.id}" aria-pressed="${row.id === shown}">${row.name || row.id} · ${share(row.progress)}</button>`)}`);
}

// Why there is no curve.
function nothing(id, error) {
  if (error) return failureText(error);
  if (id === null && models.value?.models) return t("train.idle");
  return t(connection.value?.reason ? "models.offline" : "loading");
}

function drawProgress(card, { id, value: model, error, work }) {
  if (!model) {
    render(card, html`<header><h2>${t("train.progress")}</h2></header>
      <div class="quiet">${icons.train}<p>${nothing(id, error)}</p>
      ${id === null && models.value?.models && html`<p class="note">${t("train.idle.text")}</p>`}</div>`);
    return;
  }
  const live = unfinished(model);
  const last = model.history.at(-1);
  const done = model.rounds ? model.round / model.rounds : 0;
  const left_s = live && done > 0.02 && model.seconds ? (model.seconds * (1 - done)) / done : null;
  const workers = (cluster.value?.workers ?? []).filter((worker) => worker.reachable).map((worker) => worker.id);
  render(card, html`
    <header><h2>${model.name || model.id}</h2>${model.name && html`<span class="code note">${model.id}</span>`}${statusBadge(model.status)}</header>
    <div class="card-body">
      <progress class="bar" max="1" value="${model.progress ?? 0}" data-tone="${model.status === "done" ? "good" : model.status === "failed" ? "bad" : "plain"}" aria-label="${t("train.progress")}"></progress>
      <dl class="figures">
        <div><dt>${t("train.round")}</dt><dd class="number">${count(model.round)} / ${count(model.rounds || null)}</dd></div>
        <div><dt>${t("train.accuracy")}</dt><dd class="number">${share(model.test_accuracy ?? last?.test_accuracy)}</dd></div>
        <div><dt>${t("train.speed")}</dt><dd class="number">${count(model.images_per_second || null)}</dd></div>
        <div><dt>${t(left_s === null ? "train.seconds" : "train.left")}</dt><dd class="number">${duration(left_s === null ? model.seconds || null : Math.ceil(left_s))}</dd></div>
      </dl>
      ${model.status === "failed" ? html`<p class="problem">${model.error}</p>` : trainingChart(model.history, model.rounds)}
      ${workShare(work, live ? workers : [])}
      <div class="card-end">
        ${live && html`<button type="button" class="button" data-kind="danger" data-action="cancel">${icons.cancel}${t("train.cancel")}</button>`}
        ${model.status === "done" && html`<a class="button" data-kind="primary" href="#/try/${model.id}">${icons.try}${t("train.try")}</a>`}
        <a class="button" href="#/models/${model.id}">${icons.models}${t("models.facts")}</a>
      </div>
    </div>`);
}
