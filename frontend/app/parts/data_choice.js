// What a model learns from: four choices (images, labels, and the same to test with), each a growing data set or a file.
// Names that data sets usually have (train-images, t10k-labels ...) fall into place by themselves.

import { count, size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { icons } from "/icons.js";
import { t } from "/words.js";

export const ROLES = ["inputs", "outputs", "test_inputs", "test_outputs"];

const SAME = "same";
const SHOWN = 300;
const TEST = /(^|[^a-z])(t10k|test|valid(ation)?)/i;
const LABEL = /label|target|class|outputs|[-_.]y[-_.]/i;
const DATA = /(\.(npz|npy|csv|zip|gz|idx\d*)$)|ubyte$/i;
const WHOLE = /\.(npz|csv|zip)$/i; // may hold images and labels in one

export class DataChoice {
  #place;
  #chosen = {}; // role -> id as text; a role absent here is guessed
  #growing = [];
  #files = [];

  constructor(place) {
    this.#place = place;
    place.addEventListener("change", (event) => {
      if (!ROLES.includes(event.target.name)) return;
      this.#chosen[event.target.name] = event.target.value;
      if (event.target.name === "inputs") for (const role of ROLES.slice(1)) delete this.#chosen[role];
      this.#draw();
    });
  }

  // The page is about to leave: what was chosen comes with the next one.
  get chosen() {
    return this.#chosen;
  }

  set chosen(chosen) {
    this.#chosen = { ...chosen };
  }

  pick(id) {
    this.#chosen = { inputs: String(id) };
    if (this.#growing.length + this.#files.length) this.#draw();
  }

  // Whether there is anything to learn from.
  get empty() {
    return !this.#growing.length && !this.#files.length;
  }

  show(growing, files) {
    this.#growing = growing;
    this.#files = [...files].reverse();
    this.#draw();
  }

  // Nobody has told yet what there is.
  wait(offline) {
    render(this.#place, offline ? html`<p class="empty">${t("datasets.offline")}</p>` : html`<div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`);
  }

  // The roles of a spec: { inputs: id, ... }; those that were not chosen are absent.
  get spec() {
    const values = this.#values();
    const found = {};
    for (const role of ROLES) {
      const value = values[role] === SAME ? values[role.replace("outputs", "inputs")] : values[role];
      if (value) found[role] = Number(value);
    }
    return found;
  }

  #values() {
    const values = {};
    values.inputs = this.#chosen.inputs ?? this.#guessInputs();
    values.outputs = this.#chosen.outputs ?? this.#partner(values.inputs);
    values.test_inputs = this.#chosen.test_inputs ?? this.#testOf(values.inputs);
    values.test_outputs = this.#chosen.test_outputs ?? this.#partner(values.test_inputs);
    return values;
  }

  #find(id) {
    return this.#files.find((row) => String(row.id) === id);
  }

  #isGrowing(id) {
    return this.#growing.some((row) => String(row.id) === id);
  }

  #guessInputs() {
    const data = this.#files.filter((row) => DATA.test(row.name) && !TEST.test(row.name));
    const found = data.find((row) => !LABEL.test(row.name)) ?? (data.length ? undefined : this.#growing.at(-1));
    return found ? String(found.id) : "";
  }

  // The labels that belong to these images: in the same file, or in one of nearly the same name.
  #partner(id) {
    if (!id) return "";
    if (this.#isGrowing(id)) return SAME;
    const row = this.#find(id);
    if (!row) return "";
    const labels = this.#files.filter((each) => each !== row && LABEL.test(each.name) && TEST.test(each.name) === TEST.test(row.name));
    const partner = labels.find((each) => stem(each.name) === stem(row.name)) ?? (WHOLE.test(row.name) ? undefined : labels[0]);
    return partner ? String(partner.id) : WHOLE.test(row.name) ? SAME : "";
  }

  #testOf(id) {
    if (!id || this.#isGrowing(id)) return "";
    const row = this.#find(id);
    const tests = this.#files.filter((each) => DATA.test(each.name) && TEST.test(each.name) && !LABEL.test(each.name) && kind(each.name) === kind(row?.name ?? ""));
    return tests.length && !TEST.test(row?.name ?? "") ? String(tests[0].id) : "";
  }

  #draw() {
    if (this.empty) {
      render(this.#place, html`<div class="empty">${t("train.nofiles")}<br><a class="button" href="#/files">${icons.drop}${t("train.gofiles")}</a> <a class="button" href="#/datasets">${icons.datasets}${t("train.godata")}</a></div>`);
      return;
    }
    const values = this.#values();
    render(this.#place, html`<div class="roles">${ROLES.map((role) => {
      const optional = role.startsWith("test");
      const inputs = role.endsWith("inputs");
      const together = !inputs && this.#mayHoldBoth(values[role.replace("outputs", "inputs")]);
      return html`<label><span>${t(`train.${role}`)} ${optional && html`<em>${t("train.optional")}</em>`}</span>
        <select class="field" name="${role}"><option value="">${t(optional ? "train.none" : "train.pick")}</option>
        ${together && html`<option value="${SAME}" ${values[role] === SAME && "selected"}>${t("train.same")}</option>`}
        ${inputs && this.#growing.length > 0 && html`<optgroup label="${t("datasets.growing")}">${this.#growing.map((row) => option(row.id, `${row.name} · ${t("datasets.examples", { count: count(row.examples) })}`, values[role]))}</optgroup>`}
        <optgroup label="${t("page.files")}">${this.#files.slice(0, SHOWN).map((row) => option(row.id, `${row.name} · ${size(row.bytes)}`, values[role]))}</optgroup></select></label>`;
    })}</div>`);
  }

  #mayHoldBoth(id) {
    return Boolean(id) && (this.#isGrowing(id) || WHOLE.test(this.#find(id)?.name ?? ""));
  }
}

function option(id, text, value) {
  return html`<option value="${id}" ${String(id) === value && "selected"}>${text}</option>`;
}

// What is left of a name without that which tells images from labels.
function stem(name) {
  return name.toLowerCase().replace(/images?|labels?|inputs?|outputs?|targets?|idx\d|[-_.][xy](?=[-_.])/g, "");
}

// Tables and archives are tested with their like.
function kind(name) {
  return /\.(\w+)$/.exec(name.toLowerCase())?.[1] ?? "";
}
