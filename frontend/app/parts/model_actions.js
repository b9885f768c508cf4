// What may be done with a trained model: evaluate it, let aliases point to it, take it home. `draw(model)` shows it for
// another model or row; what the person has chosen stays until then.

import { drawEvaluation } from "/common/confusion.js";
import { size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { request } from "/bridge.js";
import { icons } from "/icons.js";
import { toast, toastFailure } from "/parts/toast.js";
import { files } from "/stores.js";
import { t } from "/words.js";

const ROLES = ["inputs", "outputs"];
const FORMATS = ["npz", "onnx"];

export class ModelActions {
  #card;
  #model = null;
  #found = null; // the evaluation that was just made here: it has pictures
  #stop;

  constructor(card) {
    this.#card = card;
    this.#stop = files.watch(() => this.#drawFiles());
    card.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(event.target);
    });
    card.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button) this.#act(button);
    });
  }

  stop() {
    this.#stop();
  }

  draw(model) {
    if (model?.id !== this.#model?.id) this.#found = null;
    this.#model = model;
    this.#card.hidden = model?.status !== "done";
    if (this.#card.hidden) return;
    const id = this.#model.id;
    if (this.#card.dataset.model !== id) {
      this.#card.dataset.model = id;
      render(this.#card, html`<header><h2>${t("actions.title")}</h2></header><div class="card-body" data-of="${id}">
        <h3>${t("actions.evaluate")}</h3>
        <form class="actions-form" data-form="evaluate">${ROLES.map((role) => html`<label class="labelled"><span>${t(`train.${role}`)}</span>
          <select class="field" name="${role}" required></select></label>`)}
          <button class="button" type="submit">${t("actions.evaluate")}</button></form>
        <div id="evaluation" aria-live="polite"></div>
        <h3>${t("actions.aliases")}</h3><div id="aliases"></div>
        <h3>${t("actions.export")}</h3><p class="actions-row">${FORMATS.map((format) => html`<button type="button" class="button" data-action="export" data-value="${format}">${icons.download}${format.toUpperCase()}</button>`)}</p>
      </div>`);
      this.#drawFiles();
    }
    this.#drawFound();
    render(this.#card.querySelector("#aliases"), aliases(model));
  }

  #drawFound() {
    const kept = this.#model.evaluation;
    // What another person found later goes before what was found here.
    const found = this.#found && this.#found.index >= (kept?.index ?? 0) ? { ...kept, ...this.#found } : kept;
    render(this.#card.querySelector("#evaluation"), found ? drawEvaluation(found) : html`<p class="note">${t("actions.unknown")}</p>`);
  }

  #drawFiles() {
    for (const select of this.#card.querySelectorAll("select")) {
      const chosen = select.value || this.#guess(select.name);
      render(select, html`<option value="">${t("train.none")}</option>${(files.value?.files ?? []).map((file) => html`
        <option value="${file.id}" ${file.id === Number(chosen) && "selected"}>${file.name} (${size(file.bytes)})</option>`)}`);
    }
  }

  // The test set that the model was trained with.
  #guess(role) {
    return this.#model?.sources?.[`test_${role}`]?.id ?? "";
  }

  #submit(form) {
    const data = new FormData(form);
    const path = `/api/models/${encodeURIComponent(this.#model.id)}`;
    if (form.dataset.form === "promote") {
      this.#do(form, "POST", `${path}/promote`, { alias: data.get("alias").trim() }, () => form.reset());
      return;
    }
    const asked = Object.fromEntries(ROLES.map((role) => [role, Number(data.get(role))]));
    const model = this.#model.id;
    this.#do(form, "POST", `${path}/evaluate`, asked, (found) => {
      if (this.#model?.id !== model) return;
      this.#found = found;
      this.#drawFound();
    });
  }

  #act(button) {
    const { action, value } = button.dataset;
    if (action === "back") this.#do(button.parentElement, "POST", "/api/aliases/roll_back", { alias: value });
    if (action !== "export") return;
    this.#do(button.parentElement, "POST", `/api/models/${encodeURIComponent(this.#model.id)}/export`, { format: value }, ({ path }) => {
      if (path) toast(t("actions.exported", { path }));
    });
  }

  async #do(place, method, path, json, then = () => {}) {
    const buttons = [...place.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    place.setAttribute("aria-busy", "true");
    try {
      then(await request(method, path, { json }));
    } catch (error) {
      toastFailure(error);
    } finally {
      for (const button of buttons) button.disabled = false;
      place.removeAttribute("aria-busy");
    }
  }
}

function aliases(model) {
  if (!model.name) return html`<p class="note">${t("actions.nameless")}</p>`;
  return html`${model.aliases.map((alias) => html`<p class="actions-row"><span class="chip">${alias}</span>
      <button type="button" class="button" data-action="back" data-value="${alias}">${icons.undo}${t("actions.back")}</button></p>`)}
    <form class="actions-form" data-form="promote"><label class="labelled"><span>${t("actions.alias", { name: model.name })}</span>
      <input class="field" name="alias" required placeholder="best" autocomplete="off"></label>
      <button class="button" type="submit">${t("actions.promote")}</button></form>`;
}
