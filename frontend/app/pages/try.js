// Try it: draw or drop a picture, and the model answers while the pen moves.

import { duration, digest, share } from "/common/format.js";
import { html, render } from "/common/html.js";
import { BridgeError, request, requestBlob } from "/bridge.js";
import { icons } from "/icons.js";
import { drawBars } from "/parts/bars.js";
import { DrawingPad } from "/parts/drawing_pad.js";
import { setDropTarget } from "/parts/drop.js";
import { PictureAnswers } from "/parts/picture_answers.js";
import { toast } from "/parts/toast.js";
import { connection, models } from "/stores.js";
import { failureText, t } from "/words.js";

const PAUSE_MS = 90;

export function mountTry(root, wanted) {
  render(root, html`
    <header class="page-head"><h1>${t("page.try")}</h1><p class="note">${t("try.lead")}</p></header>
    <div class="columns columns-try">
      <section class="card pad-card">
        <header><label class="labelled-inline"><span>${t("try.model")}</span><select class="field" id="model"></select></label></header>
        <div class="card-body" id="pad-place"></div>
      </section>
      <section class="card answer" aria-labelledby="answer-title">
        <header><h2 id="answer-title">${t("try.answer")}</h2></header>
        <div class="card-body">
          <div id="pictures" class="pictures" hidden></div>
          <div class="verdict" id="verdict" aria-live="polite"></div>
          <div class="bars" id="bars"></div>
          <div class="receipt" id="receipt"></div>
        </div>
      </section>
    </div>`);

  const find = (id) => root.querySelector(`#${id}`);
  const pad = new DrawingPad(find("pad-place"));
  const { sketch } = pad;
  const asker = new Asker(() => find("model").value, (result) => drawAnswer(root, result));
  const show = async (blob, name) => {
    try {
      sketch.show(await createImageBitmap(blob));
      asker.ask(blob);
    } catch {
      toast(t("try.notimage", { name }), { tone: "bad" });
    }
  };

  const several = new PictureAnswers(find("pictures"), ({ blob, name }) => show(blob, name));
  const showAll = async (pictures) => {
    if (!pictures.length) return;
    await show(pictures[0].blob, pictures[0].name);
    several.show(pictures, () => find("model").value);
  };

  sketch.addEventListener("change", async () => {
    if (sketch.empty) {
      asker.forget();
      several.clear();
    }
    else if (sketch.drawn) asker.ask(await sketch.blob());
  });
  pad.addEventListener("pictures", ({ detail }) => showAll(detail));
  find("model").addEventListener("change", () => asker.again());
  setDropTarget({
    label: () => t("try.release"),
    files: (list) => showAll(list.map(({ file, name }) => ({ blob: file, name }))),
    handles: async (offers) => {
      try {
        const blobs = await Promise.all(offers.map(({ handle }) => requestBlob(`/api/handles/${handle}`)));
        await showAll(blobs.map((blob, place) => ({ blob, name: offers[place].name })));
      } catch (error) {
        if (!(error instanceof BridgeError)) throw error;
        toast(failureText(error), { tone: "bad" });
      }
    },
  });

  drawAnswer(root, null);
  const endings = [
    models.watch(() => {
      drawModels(root, wanted);
      if (asker.idle) drawAnswer(root, null);
      else asker.resume();
    }),
    connection.watch(() => drawModels(root, wanted)),
  ];
  return () => {
    endings.forEach((end) => end());
    several.clear();
    asker.forget();
  };
}

// Sends the newest picture, one request at a time: while an answer is awaited only the last of the next ones is kept.
class Asker {
  #model;
  #tell;
  #picture = null;
  #asked = null;
  #busy = false;

  constructor(model, tell) {
    this.#model = model;
    this.#tell = tell;
  }

  // Nothing was asked, so there is no answer to keep.
  get idle() {
    return this.#picture === null;
  }

  ask(picture) {
    this.#picture = picture;
    this.#work();
  }

  // A picture that waited for the first model is asked now.
  resume() {
    if (this.#picture) this.#work();
  }

  again() {
    this.#asked = null;
    if (this.#picture) this.#work();
  }

  forget() {
    this.#picture = this.#asked = null;
    this.#tell(null);
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#picture && this.#picture !== this.#asked && this.#model()) {
        const picture = (this.#asked = this.#picture);
        const result = await this.#predict(picture, this.#model());
        if (this.#picture) this.#tell(result);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    } finally {
      this.#busy = false;
    }
  }

  async #predict(picture, model) {
    const began = performance.now();
    try {
      const answer = await request("POST", `/api/models/${encodeURIComponent(model)}/predict`, { body: picture });
      return { answer, seconds: (performance.now() - began) / 1000 };
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      return { error };
    }
  }
}

function drawModels(root, wanted) {
  const ready = (models.value?.models ?? []).filter((row) => row.status === "done").reverse();
  const select = root.querySelector("#model");
  const value = select.value || wanted;
  select.disabled = !ready.length;
  render(select, ready.length
    ? html`${ready.map((row) => html`<option value="${row.id}">${row.name ? `${row.name} (${row.id})` : row.id} · ${share(row.test_accuracy)}</option>`)}`
    : html`<option value="">${t(models.value?.models ? "try.nomodel" : connection.value?.reason ? "models.offline" : "loading")}</option>`);
  if (ready.some((row) => row.id === value)) select.value = value;
}

function drawAnswer(root, result) {
  const find = (id) => root.querySelector(`#${id}`);
  const output = result?.answer?.outputs?.[0];
  if (result?.error) {
    render(find("verdict"), html`<p class="problem">${failureText(result.error)}</p>`);
    return;
  }
  if (!output) {
    const none = models.value?.models && !models.value.models.some((row) => row.status === "done");
    render(find("verdict"), none
      ? html`<p class="waiting"><span class="note">${t("try.nomodel")}</span> <a class="button" href="#/train">${icons.train}${t("page.train")}</a></p>`
      : html`<p class="note waiting">${t("try.waiting")}</p>`);
    drawBars(find("bars"), {});
    render(find("receipt"), html``);
    return;
  }
  const { answer, seconds } = result;
  render(find("verdict"), html`<strong class="big">${output.label}</strong><span class="note">${t("try.sure", { share: share(output.probabilities[output.label]) })}</span>`);
  drawBars(find("bars"), output.probabilities);
  render(find("receipt"), html`<h3>${t("try.receipt")}</h3><p class="note">${t("try.receipt.text")}</p>
    <dl>${[
      ["model", answer.model],
      ["digest", digest(answer.digest, 16)],
      ["worker", answer.worker],
      ["term", answer.term],
      ["index", answer.index],
      ["time", duration(seconds)],
    ].map(([name, value]) => html`<div><dt>${t(`receipt.${name}`)}</dt><dd class="number">${value}</dd></div>`)}</dl>`);
}
