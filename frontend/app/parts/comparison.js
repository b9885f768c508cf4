// Two models side by side: what they reached, how they got there, and only those settings in which they differ.

import { count, digest, duration, share, size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { comparisonChart } from "/parts/comparison_chart.js";
import { ModelDetails, models } from "/stores.js";
import { t, word } from "/words.js";

const SHOWN = 200;

// What is compared: a name, its value of a model, how it is written, and which is better: 1 the larger, -1 the smaller.
const FACTS = [
  ["models.accuracy", (model) => model.test_accuracy, share, 1],
  ["train.loss", (model) => model.history.at(-1)?.loss, precise, -1],
  ["train.seconds", (model) => model.seconds || null, duration, -1],
  ["train.speed", (model) => model.images_per_second || null, count, 1],
  ["models.bytes", (model) => model.bytes, size, -1],
  ["train.epochs", (model) => model.epochs, count, 0],
  ["models.rounds", (model) => model.rounds || null, count, 0],
  ["models.arch", (model) => model.arch, (arch) => word("arch", arch), 0],
  ["models.digest", (model) => model.digest, (hex) => digest(hex), 0],
];

export class Comparison {
  #card;
  #model = null;
  #other = new ModelDetails();
  #stop;

  constructor(card) {
    this.#card = card;
    render(card, html`<header><h2>${t("compare.title")}</h2><label class="labelled-inline"><span class="unseen">${t("compare.with")}</span><select class="field" id="compare-with"></select></label></header>
      <div class="card-body" id="compared"></div>`);
    this.#select.addEventListener("change", () => this.#other.follow(this.#select.value || null));
    this.#other.addEventListener("change", () => this.#draw());
    this.#other.start();
    this.#stop = models.watch(() => this.#drawChoices());
  }

  stop() {
    this.#stop();
    this.#other.stop();
  }

  draw(model) {
    this.#model = model;
    this.#drawChoices();
    this.#draw();
  }

  get #select() {
    return this.#card.querySelector("#compare-with");
  }

  #drawChoices() {
    const rows = (models.value?.models ?? []).filter((row) => row.id !== this.#model?.id && row.status === "done");
    this.#card.hidden = !this.#model || !rows.length || !this.#model.history.length;
    const before = this.#select.value;
    render(this.#select, html`<option value="">${t("compare.pick")}</option>${rows.reverse().slice(0, SHOWN).map((row) => html`<option value="${row.id}">${row.name ? `${row.name} (${row.id})` : row.id} · ${share(row.test_accuracy)}</option>`)}`);
    if (rows.some((row) => row.id === before)) this.#select.value = before;
    else if (before) this.#other.follow(null);
  }

  #draw() {
    const [one, other] = [this.#model, this.#other.value];
    render(this.#card.querySelector("#compared"), one && other && one.id !== other.id ? compared(one, other) : html`<p class="note">${t("compare.text")}</p>`);
  }
}

function compared(one, other) {
  const specs = [...new Set([...Object.keys(one.spec ?? {}), ...Object.keys(other.spec ?? {})])]
    .filter((name) => JSON.stringify(one.spec?.[name]) !== JSON.stringify(other.spec?.[name]) && !FACTS.some(([fact]) => fact.endsWith(`.${name}`)));
  return html`${comparisonChart([one, other])}
    <div class="scroll"><table class="table compare-table"><thead><tr><th scope="col"><span class="unseen">${t("compare.fact")}</span></th>${[one, other].map((model, place) => html`<th scope="col"><i class="compare-key" data-place="${place}"></i>${model.name || model.id}${model.name && html` <span class="code note">${model.id}</span>`}</th>`)}</tr></thead>
    <tbody>${FACTS.map((fact) => factRow(fact, one, other))}
      ${specs.map((name) => html`<tr><th scope="row" class="code">${name}</th><td class="code">${plain(one.spec?.[name])}</td><td class="code">${plain(other.spec?.[name])}</td></tr>`)}</tbody></table></div>`;
}

function factRow([name, value, write, better], one, other) {
  const values = [value(one), value(other)];
  const known = values.every((each) => typeof each === "number");
  const best = better && known && values[0] !== values[1] ? values.indexOf(better > 0 ? Math.max(...values) : Math.min(...values)) : -1;
  return html`<tr><th scope="row">${t(name)}</th>${values.map((each, place) => html`<td class="${place === best && "better"}">${write(each)}${place === best && html` <span class="badge" data-tone="good">${t("compare.better")}</span>`}</td>`)}</tr>`;
}

function precise(value) {
  return Number.isFinite(value) ? value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 3 }) : "–";
}

function plain(value) {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
