// One more example for a growing data set: drawn here, or as many pictures as are dropped; with what it shows.

import { count } from "/common/format.js";
import { html, render } from "/common/html.js";
import { BridgeError, request, requestBlob } from "/bridge.js";
import { icons } from "/icons.js";
import { setDropTarget } from "/parts/drop.js";
import { DrawingPad } from "/parts/drawing_pad.js";
import { toast } from "/parts/toast.js";
import { failureText, t } from "/words.js";

const LABELS_SHOWN = 24;

// `dataset`: the name of the one that is picked, "" for a new one. Gives { labels(counts), end() }.
export function mountAddExample(card, dataset) {
  render(card, html`
    <header><h2 id="add-title">${t("add.title")}</h2><span class="note">${t("add.text")}</span></header>
    <form class="card-body add-form" novalidate>
      <div id="pad-place"></div>
      <div class="add-fields">
        <label class="labelled" ${dataset && "hidden"}><span>${t("add.dataset")}</span><input class="field" name="dataset" value="${dataset}" maxlength="200" autocomplete="off"><span class="note">${t("add.dataset.text")}</span></label>
        <label class="labelled"><span>${t("add.label")}</span><input class="field" name="label" maxlength="200" autocomplete="off"><span class="note">${t("add.label.text")}</span></label>
        <div class="label-chips" id="label-chips" role="group" aria-label="${t("add.labels")}"></div>
        <p class="note" id="tray" aria-live="polite"></p>
        <div class="form-end"><button class="button" data-kind="primary" type="submit">${t("add.do")}</button><p class="problem" id="add-problem" role="alert"></p></div>
      </div>
    </form>`);
  const form = card.querySelector("form");
  const find = (id) => card.querySelector(`#${id}`);
  const pad = new DrawingPad(find("pad-place"));
  let dropped = []; // { blob, name }

  const drawTray = () => {
    find("tray").textContent = dropped.length > 1 ? t("add.pictures", { count: count(dropped.length) }) : dropped.length ? t("add.pictures.one", { name: dropped[0].name }) : "";
    form.querySelector("[type=submit]").textContent = dropped.length > 1 ? t("add.do.many", { count: count(dropped.length) }) : t("add.do");
  };
  const take = async (pictures) => {
    dropped = [];
    for (const { blob, name } of pictures) {
      try {
        const bitmap = await createImageBitmap(blob);
        if (!dropped.length) pad.sketch.show(bitmap);
        dropped.push({ blob, name });
      } catch {
        toast(t("try.notimage", { name }), { tone: "bad" });
      }
    }
    drawTray();
    form.elements.label.focus();
  };
  pad.sketch.addEventListener("change", () => {
    if (pad.sketch.drawn || pad.sketch.empty) {
      dropped = [];
      drawTray();
    }
  });
  pad.addEventListener("pictures", (event) => take(event.detail));
  find("label-chips").addEventListener("click", (event) => {
    const chip = event.target.closest("[data-value]");
    if (!chip) return;
    form.elements.label.value = chip.dataset.value;
    form.elements.label.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = form.elements.dataset.value.trim();
    const label = form.elements.label.value.trim();
    const problem = find("add-problem");
    const missing = pad.sketch.empty ? "add.empty" : !name ? "add.nodataset" : !label ? "add.nolabel" : "";
    problem.textContent = missing && t(missing);
    if (missing) {
      if (!pad.sketch.empty) form.elements[name ? "label" : "dataset"].focus();
      return;
    }
    const pictures = dropped.length ? dropped : [{ blob: await pad.sketch.blob(), name: label }];
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      let added;
      while (pictures.length) {
        added = await request("POST", "/api/datasets/examples", { query: { dataset: name, label }, body: pictures[0].blob });
        pictures.shift();
        drawTray();
      }
      toast(t("add.done", { record: count(added.record), label, dataset: name }));
      pad.sketch.clear();
      if (!dataset) location.hash = `#/datasets/${encodeURIComponent(name)}`;
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      problem.textContent = failureText(error);
    } finally {
      button.disabled = false;
    }
  });
  setDropTarget({
    label: () => t("add.release"),
    files: (list) => take(list.map(({ file, name }) => ({ blob: file, name }))),
    handles: async (offers) => {
      const pictures = [];
      try {
        for (const offer of offers) pictures.push({ blob: await requestBlob(`/api/handles/${offer.handle}`), name: offer.name });
      } catch (error) {
        if (!(error instanceof BridgeError)) throw error;
        toast(failureText(error), { tone: "bad" });
      }
      await take(pictures);
    },
  });
  drawTray();
  return {
    labels: (counts) => render(find("label-chips"), html`${Object.keys(counts).slice(0, LABELS_SHOWN).map((label) => html`<button type="button" class="chip" data-value="${label}">${label}</button>`)}`),
    end: () => {},
  };
}
