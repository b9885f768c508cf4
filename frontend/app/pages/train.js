// Train: choose what to learn from, start, and watch the curve.

import { count, duration, share, size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { request } from "/bridge.js";
import { icons } from "/icons.js";
import { trainingChart } from "/parts/chart.js";
import { statusBadge, unfinished } from "/parts/status_badge.js";
import { toast, toastFailure } from "/parts/toast.js";
import { connection, files, ModelDetails, models } from "/stores.js";
import { failureText, t } from "/words.js";

const ROLES = ["inputs", "outputs", "test_inputs", "test_outputs"];
const ARCHITECTURES = ["mlp"];
const NUMBERS = ["epochs", "batch", "lr", "seed", "shards"];

// What the person has chosen, kept while they look at other pages. A role absent here is guessed from the names.
const chosen = {};
const details = new ModelDetails();

export function mountTrain(root) {
  render(root, html`
    <header class="page-head"><h1>${t("page.train")}</h1><p class="note">${t("train.lead")}</p></header>
    <div class="columns">
      <form class="card form" id="form" novalidate></form>
      <section class="card" id="progress" aria-label="${t("train.progress")}"></section>
    </div>`);
  const form = root.querySelector("#form");
  const progress = root.querySelector("#progress");
  drawForm(form);

  const drawFiles = () => drawRoles(form);
  const drawCurve = () => drawProgress(progress, details);
  const pick = () => {
    const rows = models.value?.models ?? [];
    const live = rows.findLast(unfinished) ?? rows.find((row) => row.id === details.id) ?? rows.at(-1);
    if (live) details.follow(live.id);
    drawCurve();
  };
  form.addEventListener("change", (event) => {
    if (ROLES.includes(event.target.name)) chosen[event.target.name] = event.target.value;
    drawFiles();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(form);
  });
  progress.addEventListener("click", (event) => {
    if (event.target.closest("[data-action=cancel]")) cancel(details.id);
  });
  details.addEventListener("change", drawCurve);
  details.start();
  const endings = [files.watch(drawFiles), connection.watch(drawFiles), models.watch(pick)];
  return () => {
    endings.forEach((end) => end());
    details.removeEventListener("change", drawCurve);
    details.stop();
  };
}

async function start(form) {
  const data = new FormData(form);
  const spec = { arch: data.get("arch"), name: data.get("name").trim() };
  for (const role of ROLES) if (data.get(role)) spec[role] = Number(data.get(role));
  for (const name of NUMBERS) if (data.get(name)) spec[name] = Number(data.get(name));
  const problem = form.querySelector("#problem");
  if (!spec.inputs || !spec.outputs) {
    problem.textContent = t("train.missing");
    form.querySelector(`[name=${spec.inputs ? "outputs" : "inputs"}]`).focus();
    return;
  }
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  problem.textContent = "";
  try {
    const { model } = await request("POST", "/api/models", { json: spec });
    toast(t("train.started", { model }));
  } catch (error) {
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

function drawForm(form) {
  render(form, html`
    <fieldset><legend>${t("train.data")}</legend><div id="roles"></div></fieldset>
    <fieldset><legend>${t("train.model")}</legend>
      <div class="choices" role="radiogroup" aria-label="${t("train.arch")}">${ARCHITECTURES.map((arch, place) => html`
        <label class="choice"><input type="radio" name="arch" value="${arch}" ${place === 0 && "checked"}>
          <span><b>${t(`arch.${arch}`)}</b><span class="note">${t(`arch.${arch}.text`)}</span></span></label>`)}</div>
      <div class="pair">
        <label class="labelled"><span>${t("train.epochs")}</span><input class="field" type="number" name="epochs" min="1" max="10000" value="5"><span class="note">${t("train.epochs.text")}</span></label>
        <label class="labelled"><span>${t("train.name")}</span><input class="field" type="text" name="name" maxlength="200" autocomplete="off"><span class="note">${t("train.name.text")}</span></label>
      </div>
      <details class="more"><summary>${t("train.more")}</summary><div class="pair">
        ${[["batch", 1, 1], ["lr", 0, "any"], ["seed", 0, 1], ["shards", 1, 1]].map(([name, least, step]) => html`
          <label class="labelled"><span>${t(`train.${name}`)}</span><input class="field" type="number" name="${name}" min="${least}" step="${step}" placeholder="${t("train.auto")}"></label>`)}
      </div></details></fieldset>
    <div class="form-end"><button class="button" data-kind="primary" type="submit">${icons.train}${t("train.start")}</button>
      <p class="problem" id="problem" role="alert"></p></div>`);
}

function drawRoles(form) {
  const rows = files.value?.files ?? null;
  const place = form.querySelector("#roles");
  const idle = rows !== null && !rows.length;
  form.querySelector("[type=submit]").disabled = connection.value?.state !== "online" || idle;
  if (idle) {
    render(place, html`<div class="empty">${t("train.nofiles")}<br><a class="button" href="#/files">${icons.drop}${t("train.gofiles")}</a></div>`);
    return;
  }
  const newest = [...(rows ?? [])].reverse().slice(0, 300);
  const guesses = guessRoles(newest);
  render(place, html`<div class="roles">${ROLES.map((role) => {
    const optional = role.startsWith("test");
    const value = String(chosen[role] ?? guesses[role] ?? "");
    return html`<label><span>${t(`train.${role}`)} ${optional && html`<em>${t("train.optional")}</em>`}</span>
      <select class="field" name="${role}"><option value="">${t(optional ? "train.none" : "train.pick")}</option>
      ${newest.map((row) => html`<option value="${row.id}" ${String(row.id) === value && "selected"}>${row.name} · ${size(row.bytes)}</option>`)}</select></label>`;
  })}</div>`);
}

// Files named as data sets usually are (train-images, t10k-labels ...) fall into place by themselves.
function guessRoles(rows) {
  const test = /(^|[^a-z])(t10k|test)/i;
  const label = /label|target|class|outputs|[-_.]y[-_.]/i;
  const data = /(\.(npz|npy|csv|zip|gz)$)|ubyte$/i;
  const found = {};
  for (const row of rows.filter((each) => data.test(each.name))) {
    const role = `${test.test(row.name) ? "test_" : ""}${label.test(row.name) ? "outputs" : "inputs"}`;
    found[role] ??= row.id;
  }
  return found;
}

function drawProgress(card, { id, value: model, error }) {
  if (!model) {
    render(card, html`<header><h2>${t("train.progress")}</h2></header>
      <div class="quiet">${icons.train}<p>${id === null ? t("train.idle") : error ? failureText(error) : t("loading")}</p>
      ${id === null && html`<p class="note">${t("train.idle.text")}</p>`}</div>`);
    return;
  }
  const live = unfinished(model);
  const last = model.history.at(-1);
  render(card, html`
    <header><h2>${model.name || model.id}</h2>${model.name && html`<span class="code note">${model.id}</span>`}${statusBadge(model.status)}</header>
    <div class="card-body">
      <progress class="bar" max="1" value="${model.progress ?? 0}" data-tone="${model.status === "done" ? "good" : model.status === "failed" ? "bad" : "plain"}" aria-label="${t("train.progress")}"></progress>
      <dl class="figures">
        <div><dt>${t("train.round")}</dt><dd class="number">${count(model.round)} / ${count(model.rounds || null)}</dd></div>
        <div><dt>${t("train.accuracy")}</dt><dd class="number">${share(model.test_accuracy ?? last?.test_accuracy)}</dd></div>
        <div><dt>${t("train.speed")}</dt><dd class="number">${count(model.images_per_second || null)}</dd></div>
        <div><dt>${t("train.seconds")}</dt><dd class="number">${duration(model.seconds || null)}</dd></div>
      </dl>
      ${model.status === "failed" ? html`<p class="problem">${model.error}</p>` : trainingChart(model.history, model.rounds)}
      <div class="card-end">
        ${live && html`<button type="button" class="button" data-kind="danger" data-action="cancel">${icons.cancel}${t("train.cancel")}</button>`}
        ${model.status === "done" && html`<a class="button" data-kind="primary" href="#/try/${model.id}">${icons.try}${t("train.try")}</a>`}
        <a class="button" href="#/models/${model.id}">${icons.models}${t("models.facts")}</a>
      </div>
    </div>`);
}
