// Every model with its training's progress.

import { evaluationWords } from "/common/confusion.js";
import { count, digest, share, size, when } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { t } from "/texts.js";
import { chosenModel } from "/training.js";

const SHOWN = 100;
const TONES = { queued: "", preparing: "", training: "warn", done: "good", failed: "bad", cancelled: "" };

export function drawModels(state) {
  const models = [...state.models.values()].reverse();
  document.getElementById("models-count").textContent = count(state.totals.models);
  document.getElementById("models-empty").hidden = models.length > 0;
  renderRows(
    document.getElementById("model-rows"),
    models.slice(0, SHOWN),
    (model) => model.id,
    (model) => html`<li class="model">
      <h3><button type="button" class="pick" data-model="${model.id}" aria-pressed="${String(model.id === chosenModel(state)?.id)}" title="${model.name}">${model.name || model.id}</button></h3>
      <span class="badge" data-tone="${TONES[model.status]}">${t(`status.${model.status}`)}</span>
      ${bar(model)}
      <p class="about">
        <span class="code">${model.id}</span><span>${model.arch}</span>
        ${model.test_accuracy !== null && model.test_accuracy !== undefined && html`<span><strong>${share(model.test_accuracy)}</strong> ${t("accuracy")}</span>`}
        <span>${when(model.created)}</span>
      </p>
      ${model.evaluation && html`<p class="about">${evaluationWords(model.evaluation)}</p>`}
      ${model.digest && html`<p class="about">${digest(model.digest, 16)}<span>${size(model.bytes)}</span></p>`}
    </li>`,
  );
}

function bar(model) {
  if (model.status === "done") return "";
  const tone = model.status === "failed" ? "bad" : "";
  const value = (model.progress ?? 0).toFixed(3);
  return html`<progress class="bar" max="1" value="${value}" data-tone="${tone}" aria-label="${t("progress", { name: model.name || model.id })}">${share(model.progress)}</progress>`;
}
