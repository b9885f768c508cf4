// What to make, and how it learns: the architecture, and options of which each may be left to the cluster.

import { html, render } from "/common/html.js";
import { t } from "/words.js";

const OWN = "own";
const ARCHITECTURES = ["mlp", "cnn", OWN];
const EXAMPLES = ["conv 8 5x5, pool 2, conv 16 5x5, pool 2, dense", "dense 256, dropout 0.3, dense", "conv 16 3x3 same, norm, pool 2, dense 64, dense"];

// One table: name, kind of field, its limits or choices. "" and an empty field mean: as the cluster thinks best.
const GROUPS = [
  ["learning", [
    ["optimiser", ["", "sgd", "nesterov", "adam"]], ["schedule", ["", "one-cycle", "constant"]],
    ["lr", 0, 100, "any"], ["batch", 1, 4096, 1], ["momentum", 0, 0.999, "any"], ["weight_decay", 0, 10, "any"],
    ["label_smoothing", 0, 0.9, "any"], ["averaging", 0, 1, "any"], ["loss", ["", "cross-entropy", "squared"]],
  ]],
  ["variety", [["shift", 0, 16, 1], ["rotation", 0, 180, "any"], ["thickness", 0, 1, "any"]]],
  ["spreading", [["shards", 1, 256, 1], ["steps_per_round", 1, 1000000, 1], ["seed", 0, 2147483647, 1]]],
];

export function drawOptions(form) {
  render(form, html`
    <div class="choices" role="radiogroup" aria-label="${t("train.arch")}">${ARCHITECTURES.map((arch, place) => html`
      <label class="choice"><input type="radio" name="arch" value="${arch}" ${place === 0 && "checked"}>
        <span><b>${t(`arch.${arch}`)}</b><span class="note">${t(`arch.${arch}.text`)}</span></span></label>`)}</div>
    <div class="own-arch" id="own-arch" hidden><label class="labelled"><span>${t("train.layers")}</span>
      <textarea class="field code" name="layers" rows="2" maxlength="2000" spellcheck="false" autocomplete="off" placeholder="${EXAMPLES[0]}"></textarea></label>
      <p class="note">${t("train.layers.text")}</p>
      <div class="label-chips" role="group" aria-label="${t("train.layers.examples")}">${EXAMPLES.map((text) => html`<button type="button" class="chip code" data-layers="${text}">${text}</button>`)}</div></div>
    <div class="pair">
      ${number("epochs", 1, 10000, 1)}
      <label class="labelled"><span>${t("train.name")}</span><input class="field" type="text" name="name" maxlength="200" autocomplete="off"><span class="note">${t("train.name.text")}</span></label>
    </div>
    <details class="more"><summary>${t("train.more")}</summary>${GROUPS.map(([group, options]) => html`
      <fieldset class="option-group"><legend>${t(`train.group.${group}`)}</legend><div class="pair">${options.map((option) => (Array.isArray(option[1]) ? choice(...option) : number(...option)))}</div></fieldset>`)}</details>`);
  form.addEventListener("change", () => follow(form));
  form.addEventListener("click", (event) => {
    const { layers } = event.target.dataset;
    if (!layers) return;
    form.querySelector("[name=layers]").value = layers;
    form.querySelector("[name=layers]").focus();
  });
}

function follow(form) {
  form.querySelector("#own-arch").hidden = !form.querySelector(`[value=${OWN}]`).checked;
}

function number(name, least, most, step) {
  return html`<label class="labelled"><span>${t(`train.${name}`)}</span>
    <input class="field" type="number" name="${name}" min="${least}" max="${most}" step="${step}" placeholder="${t("train.auto")}"><span class="note">${t(`train.${name}.text`)}</span></label>`;
}

function choice(name, values) {
  return html`<label class="labelled"><span>${t(`train.${name}`)}</span>
    <select class="field" name="${name}">${values.map((value) => html`<option value="${value}">${value ? t(`train.${name}.${value}`) : t("train.auto")}</option>`)}</select><span class="note">${t(`train.${name}.text`)}</span></label>`;
}

// The fields of a spec that the person has set, or { problem, field }: what is wrong, for people.
export function readOptions(form) {
  const data = new FormData(form);
  const spec = { arch: data.get("arch"), name: data.get("name").trim() };
  if (spec.arch === OWN) {
    spec.arch = data.get("layers").trim();
    if (!spec.arch) return { problem: t("train.nolayers"), field: form.querySelector("[name=layers]") };
  }
  const wrong = [...form.querySelectorAll("input[type=number]")].find((field) => !field.validity.valid);
  if (wrong) return { problem: t("train.outofrange", { name: t(`train.${wrong.name}`), least: wrong.min, most: wrong.max }), field: wrong };
  for (const field of form.querySelectorAll("input[type=number], .more select")) {
    if (field.value !== "") spec[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return { spec };
}
