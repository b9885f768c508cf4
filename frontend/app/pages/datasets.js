// Data sets: those that grow example by example, and those in files; what is in them, and one more example.

import { count, size } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { BridgeError, request } from "/bridge.js";
import { icons } from "/icons.js";
import { mountAddExample } from "/parts/add_example.js";
import { drawClassBars } from "/parts/class_bars.js";
import { fillPictures } from "/parts/pictures.js";
import { connection, datasets, files } from "/stores.js";
import { failureText, t } from "/words.js";

const FILE = "file:";
const FILES_SHOWN = 100;
const SHOWN = 48;

export const DATA_NAME = /(\.(npz|npy|csv|zip|gz|idx\d*)|ubyte)$/i;

export function mountDatasets(root, wanted) {
  render(root, html`
    <header class="page-head"><h1>${t("page.datasets")}</h1><p class="note">${t("datasets.lead")}</p></header>
    <div class="columns columns-data">
      <div class="stack">
        <section class="card" aria-labelledby="growing-title"><header><h2 id="growing-title">${t("datasets.growing")}</h2><span class="head-end"><a class="button" href="#/datasets" aria-label="${t("datasets.new")}" title="${t("datasets.new")}">${t("datasets.new.short")}</a></span></header><ul class="picks" id="growing"></ul><div id="no-growing"></div></section>
        <section class="card" aria-labelledby="infiles-title"><header><h2 id="infiles-title">${t("datasets.infiles")}</h2></header><ul class="picks" id="infiles"></ul><div id="no-files"></div></section>
      </div>
      <div class="stack">
        <section class="card" id="add" aria-labelledby="add-title"></section>
        <section class="card" id="inside" aria-live="polite" hidden></section>
      </div>
    </div>`);
  const find = (id) => root.querySelector(`#${id}`);
  const inside = new Inside(find("inside"));
  const add = mountAddExample(find("add"), wanted.startsWith(FILE) ? "" : wanted);
  const draw = () => {
    const growing = datasets.value?.datasets ?? null;
    const data = files.value?.files?.filter((row) => DATA_NAME.test(row.name)) ?? null;
    if (growing !== null) renderRows(find("growing"), growing, (row) => row.id, (row) => pickGrowing(row, wanted));
    if (data !== null) renderRows(find("infiles"), [...data].reverse().slice(0, FILES_SHOWN), (row) => row.id, (row) => pickFile(row, wanted));
    render(find("no-growing"), below(growing, "datasets.none"));
    render(find("no-files"), below(data, "datasets.nofiles"));
    find("add").hidden = wanted.startsWith(FILE);
    if (wanted.startsWith(FILE)) inside.showFile(data?.find((row) => String(row.id) === wanted.slice(FILE.length)));
    else {
      const row = growing?.find((each) => each.name === wanted);
      inside.showGrowing(row);
      add.labels(inside.labels);
    }
  };
  inside.addEventListener("change", () => add.labels(inside.labels));
  const endings = [datasets.watch(draw), files.watch(draw), connection.watch(draw)];
  return () => {
    endings.forEach((end) => end());
    add.end();
    inside.end();
  };
}

function below(rows, none) {
  if (rows?.length) return html``;
  if (rows) return html`<p class="empty">${t(none)}</p>`;
  return connection.value?.reason ? html`<p class="empty">${t("datasets.offline")}</p>` : html`<div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`;
}

function pickGrowing(row, wanted) {
  return html`<li><a class="pick" href="#/datasets/${encodeURIComponent(row.name)}" ${row.name === wanted && html`aria-current="true"`}>${icons.datasets}<b title="${row.name}">${row.name}</b>
    <span class="note">${examples(row.examples)} · ${classes(row.classes)}</span></a></li>`;
}

function pickFile(row, wanted) {
  return html`<li><a class="pick" href="#/datasets/${FILE}${row.id}" ${`${FILE}${row.id}` === wanted && html`aria-current="true"`}>${icons.data}<b title="${row.name}">${row.name}</b><span class="note">${size(row.bytes)}</span></a></li>`;
}

const examples = (number) => t(number === 1 ? "datasets.examples.one" : "datasets.examples", { count: count(number) });
const classes = (number) => t(number === 1 ? "datasets.classes.one" : "datasets.classes", { count: count(number) });

// What is in the data set that is picked: class counts and pictures.
class Inside extends EventTarget {
  #card;
  #shown = "";
  #row = null;
  #label = null;
  #rows = [];
  #more = false;
  #over = false;
  labels = {};

  constructor(card) {
    super();
    this.#card = card;
    card.addEventListener("click", (event) => {
      const { label } = event.target.closest("[data-label]")?.dataset ?? {};
      if (label !== undefined) this.#only(label === this.#label ? null : label);
      if (event.target.closest("[data-action=all]")) this.#only(null);
      if (event.target.closest("[data-action=more]")) this.#fetchExamples(this.#rows.at(-1)?.id);
    });
  }

  end() {
    this.#over = true;
  }

  showGrowing(row) {
    this.#card.hidden = !row;
    const seen = row ? `${row.id} ${row.examples}` : "";
    if (!row || seen === this.#shown) return;
    this.#shown = seen;
    this.#row = row;
    this.#fetchGrowing(row);
  }

  showFile(row) {
    this.#card.hidden = !row;
    if (!row || this.#shown === row.digest) return;
    this.#shown = row.digest;
    this.#fetchFile(row);
  }

  async #fetchGrowing(row) {
    await this.#guarded(row.name, async () => {
      const { labels } = await request("GET", "/api/datasets/one", { query: { dataset: row.name } });
      this.labels = labels;
      await this.#fetchExamples();
      this.dispatchEvent(new Event("change"));
    });
  }

  async #fetchExamples(before) {
    const query = { dataset: this.#row.name };
    if (before) query.before = before;
    if (this.#label !== null) query.label = this.#label;
    await this.#guarded(this.#row.name, async () => {
      const { examples: rows, more } = await request("GET", "/api/datasets/examples", { query });
      const fresh = rows.slice(0, SHOWN);
      this.#rows = before ? [...this.#rows, ...fresh] : fresh;
      this.#more = more || rows.length > SHOWN;
      this.#drawGrowing();
    });
  }

  #only(label) {
    this.#label = label;
    this.#fetchExamples();
  }

  async #fetchFile(row) {
    render(this.#card, html`<header><h2>${row.name}</h2></header><div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`);
    await this.#guarded(row.name, async () => {
      const seen = await request("GET", `/api/files/${row.id}/look`);
      if (this.#over || this.#shown !== row.digest) return;
      const [height, width] = seen.shape ?? [];
      render(this.#card, html`${head(row.name, row.id, [examples(seen.count), height && t("datasets.shape", { height, width }), Object.keys(seen.labels).length > 0 && classes(Object.keys(seen.labels).length)])}
        <div class="card-body">${Object.keys(seen.labels).length > 0 && html`<h3>${t("datasets.counts")}</h3><ul class="class-bars" id="class-bars"></ul>`}
          ${seen.pictures.length > 0 && html`<h3>${t("datasets.pictures")} <span class="note">${t("datasets.first", { count: count(seen.pictures.length) })}</span></h3>
          <ul class="thumbs">${seen.pictures.map((picture, place) => html`<li><img src="${picture}" alt="${t("datasets.picture.file", { number: place + 1 })}" width="64" height="64"></li>`)}</ul>`}</div>`);
      const bars = this.#card.querySelector("#class-bars");
      if (bars) drawClassBars(bars, seen.labels);
    });
  }

  #drawGrowing() {
    if (this.#over) return;
    const row = this.#row;
    const of = this.#card.querySelector("[data-of]")?.dataset.of;
    if (of !== String(row.id)) {
      render(this.#card, html`<div id="head"></div><div class="card-body" data-of="${row.id}">
        <h3>${t("datasets.counts")} <button type="button" class="link-button" data-action="all" hidden>${t("datasets.all")}</button></h3><ul class="class-bars" id="class-bars"></ul>
        <h3>${t("datasets.pictures")} <span class="note">${t("datasets.latest")}</span></h3><ul class="thumbs" id="thumbs"></ul>
        <p><button type="button" class="button" data-action="more">${t("datasets.more")}</button></p></div>`);
    }
    const find = (id) => this.#card.querySelector(`#${id}`);
    render(find("head"), head(row.name, row.id, [examples(row.examples), classes(row.classes)]));
    drawClassBars(find("class-bars"), this.labels, this.#label, true);
    renderRows(find("thumbs"), this.#rows, (each) => each.id, (each) => html`<li><img data-digest="${each.digest}" data-bytes="${each.bytes}" alt="${t("datasets.picture", each)}" width="64" height="64"><span title="${each.label}">${each.label}</span></li>`);
    this.#card.querySelector("[data-action=more]").hidden = !this.#more;
    this.#card.querySelector("[data-action=all]").hidden = this.#label === null;
    fillPictures(this.#card);
  }

  async #guarded(name, work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      this.#shown = "";
      const words = error.code === "refused" ? `${t("datasets.notdata")} ${failureText(error)}` : failureText(error);
      render(this.#card, html`<header><h2>${name}</h2></header><div class="quiet">${icons.warning}<p>${words}</p></div>`);
    }
  }
}

function head(name, id, facts) {
  return html`<header class="inside-head"><h2 title="${name}">${name}</h2><span class="note">${facts.filter(Boolean).join(" · ")}</span>
    <span class="head-end"><a class="button" href="#/train/${id}">${icons.train}${t("datasets.train")}</a></span></header>`;
}
