// Several pictures at once: each with what the model takes it for. One that is picked is shown in full.

import { html, render } from "/common/html.js";
import { share } from "/common/format.js";
import { BridgeError, request } from "/bridge.js";
import { failureText, t } from "/words.js";

const MOST = 60;

export class PictureAnswers {
  #place;
  #pictures = []; // { blob, name, url, output, error }
  #turn = 0;

  // `pick(picture)` is called for the one that is to be seen in full.
  constructor(place, pick) {
    this.#place = place;
    place.addEventListener("click", (event) => {
      const { picture } = event.target.closest("[data-picture]")?.dataset ?? {};
      if (picture !== undefined) pick(this.#pictures[Number(picture)]);
    });
  }

  // Asks about each in turn; `model()` is asked for anew each time. Fewer than two are not worth a list.
  async show(pictures, model) {
    this.clear();
    if (pictures.length < 2) return;
    const turn = this.#turn;
    this.#pictures = pictures.slice(0, MOST).map((picture) => ({ ...picture, url: URL.createObjectURL(picture.blob) }));
    this.#draw();
    for (const picture of this.#pictures) {
      if (!model()) return;
      try {
        const path = `/api/models/${encodeURIComponent(model())}/predict`;
        [picture.output] = (await request("POST", path, { body: picture.blob })).outputs;
      } catch (error) {
        if (!(error instanceof BridgeError)) throw error;
        picture.error = failureText(error);
      }
      if (turn !== this.#turn) return;
      this.#draw();
    }
  }

  clear() {
    this.#turn += 1;
    for (const { url } of this.#pictures) URL.revokeObjectURL(url);
    this.#pictures = [];
    this.#draw();
  }

  #draw() {
    this.#place.hidden = !this.#pictures.length;
    render(this.#place, html`<h3>${t("try.pictures")}</h3><ul class="thumbs">${this.#pictures.map(({ name, url, output, error }, place) => {
      const said = error ?? (output ? `${output.label} · ${share(output.probabilities[output.label])}` : "…");
      return html`<li><button type="button" class="thumb" data-picture="${place}" title="${name}: ${said}"><img src="${url}" alt="${name}" width="64" height="64"><span>${error ? "!" : said}</span></button></li>`;
    })}</ul>`);
  }
}
