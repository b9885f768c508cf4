// Models: all that were ever trained, and how each came to be.

import { count, digest, duration, share, size, when } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { request } from "/bridge.js";
import { icons } from "/icons.js";
import { trainingChart } from "/parts/chart.js";
import { Comparison } from "/parts/comparison.js";
import { ModelActions } from "/parts/model_actions.js";
import { statusBadge, unfinished } from "/parts/status_badge.js";
import { toastFailure } from "/parts/toast.js";
import { connection, ModelDetails, models } from "/stores.js";
import { failureText, t, word } from "/words.js";

export function mountModels(root, wanted) {
  const details = new ModelDetails();
  render(root, html`
    <header class="page-head"><h1>${t("page.models")}</h1><p class="note">${t("models.lead")}</p></header>
    <div class="columns columns-models">
      <section class="card" aria-label="${t("page.models")}"><div class="scroll"><table class="table models-table" id="table">
        <thead><tr><th scope="col">${t("models.id")}</th><th scope="col">${t("models.status")}</th><th scope="col" class="number">${t("models.accuracy")}</th>
          <th scope="col">${t("models.created")}</th></tr></thead><tbody id="rows"></tbody></table></div><div id="nothing"></div></section>
      <div class="stack"><section class="card" id="details" aria-live="polite"></section>
        <section class="card" id="actions" hidden></section><section class="card" id="compare" hidden></section></div>
    </div>`);
  const panel = root.querySelector("#details");
  const comparison = new Comparison(root.querySelector("#compare"));
  const actions = new ModelActions(root.querySelector("#actions"));
  const drawDetails = () => {
    drawModel(panel, details);
    actions.draw(details.value);
    comparison.draw(details.value);
  };
  const draw = () => {
    const rows = models.value?.models ?? null;
    const sorted = [...(rows ?? [])].reverse();
    const shown = sorted.find((row) => row.id === wanted) ?? sorted[0];
    if (shown) details.follow(shown.id);
    root.querySelector("#table").hidden = !sorted.length;
    panel.hidden = !sorted.length;
    if (rows !== null) renderRows(root.querySelector("#rows"), sorted, (row) => row.id, (row) => drawRow(row, row.id === shown.id));
    render(root.querySelector("#nothing"), below(rows));
  };
  panel.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-action=cancel]")) return;
    try {
      await request("POST", `/api/models/${encodeURIComponent(details.id)}/cancel`);
    } catch (error) {
      toastFailure(error);
    }
  });
  details.addEventListener("change", drawDetails);
  details.start();
  const endings = [models.watch(draw), connection.watch(draw)];
  drawDetails();
  return () => {
    endings.forEach((end) => end());
    actions.stop();
    comparison.stop();
    details.stop();
  };
}

function below(rows) {
  if (rows === null && connection.value?.reason) return html`<div class="quiet">${icons.models}<p>${t("models.offline")}</p></div>`;
  if (rows === null) return html`<div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`;
  if (rows.length) return html``;
  return html`<div class="quiet">${icons.models}<p>${t("models.empty")}</p><a class="button" data-kind="primary" href="#/train">${t("models.gotrain")}</a></div>`;
}

function drawRow(row, current) {
  return html`<tr ${current && html`aria-current="true"`}>
    <th scope="row"><a href="#/models/${row.id}">${row.name || row.id}</a>${row.name && html` <span class="code note">${row.id}</span>`}${(row.aliases ?? []).map((alias) => html` <span class="chip alias">@${alias.split("@").at(-1)}</span>`)}</th>
    <td>${statusBadge(row.status)}${unfinished(row) && html`<progress class="bar thin" max="1" value="${row.progress ?? 0}" aria-label="${t("train.progress")}"></progress>`}</td>
    <td class="number">${share(row.test_accuracy)}</td>
    <td>${when(row.created)}</td></tr>`;
}

function drawModel(card, { id, value: model, error }) {
  if (!model) {
    render(card, html`<div class="quiet">${icons.models}<p>${error ? failureText(error) : id === null ? t("models.pick") : t("loading")}</p></div>`);
    return;
  }
  render(card, html`
    <header><h2>${model.name || model.id}</h2>${model.name && html`<span class="code note">${model.id}</span>`}${statusBadge(model.status)}
      <span class="head-end">${model.status === "done" && html`<a class="button" data-kind="primary" href="#/try/${model.id}">${icons.try}${t("train.try")}</a>`}
      ${unfinished(model) && html`<button type="button" class="button" data-kind="danger" data-action="cancel">${t("train.cancel")}</button>`}</span></header>
    <div class="card-body">
      ${model.error && html`<div class="problem-box"><b>${t("models.error")}</b><p>${model.error}</p>
        ${model.traceback && html`<details><summary>${t("models.traceback")}</summary><pre class="code">${model.traceback}</pre></details>`}</div>`}
      ${(model.history.length > 0 || unfinished(model)) && trainingChart(model.history, model.rounds)}
      <h3>${t("models.facts")}</h3>
      ${facts([
        [t("models.digest"), digest(model.digest, 16)],
        [t("models.arch"), word("arch", model.arch)],
        [t("models.accuracy"), share(model.test_accuracy)],
        [t("models.rounds"), `${count(model.round)} / ${count(model.rounds || null)}`],
        [t("train.epochs"), count(model.epochs)],
        [t("train.seconds"), duration(model.seconds || null)],
        [t("train.speed"), count(model.images_per_second || null)],
        [t("models.bytes"), size(model.bytes)],
        [t("models.created"), when(model.created)],
      ])}
      ${model.spec && html`<details class="more"><summary>${t("models.settings")}</summary><p class="chips">${chips(model.spec)}</p></details>`}
      ${model.sources && Object.keys(model.sources).length > 0 && html`<h3>${t("models.sources")}</h3>
        ${facts(Object.entries(model.sources).map(([role, file]) => [word("train", role), html`<span title="${file.name}">${file.name}</span> ${digest(file.digest)}`]))}`}
      ${model.lineage && Object.keys(model.lineage).length > 0 && html`<h3>${t("models.lineage")}</h3><p class="chips">${chips(model.lineage)}</p>`}
    </div>`);
}

function facts(pairs) {
  return html`<dl class="facts">${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function chips(object) {
  return Object.entries(object)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => html`<span class="chip"><i>${name}</i> ${brief(value)}</span>`);
}

// A value of a spec or a lineage: numbers with four digits that count, the rest as it is.
function brief(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(brief).join(" × ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
