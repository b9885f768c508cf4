// What an evaluation has found: accuracy, the confusion matrix, the worst errors. For a page:
//
//   import { drawEvaluation } from "/common/confusion.js";
//   render(element, html`<h3>…</h3>${drawEvaluation(model.evaluation)}`);
//
// `found` is the `evaluation` of a model's row (null: nothing is drawn), or what the bridge answers to
// POST /api/models/ID/evaluate, whose errors have pictures. The look is in confusion.css, which theme.css brings.

import { count, share, when } from "/common/format.js";
import { html } from "/common/html.js";
import { translator } from "/common/words.js";

const t = translator({
  right: { en: "{part} of {images} right", es: "{part} de {images} acertadas" },
  at: { en: "index {index}, by {client}", es: "índice {index}, por {client}" },
  matrix: { en: "Confusion matrix: rows are labels, columns what was said. {part} right.", es: "Matriz de confusión: filas, etiquetas; columnas, respuestas. {part} acertadas." },
  label: { en: "label", es: "etiqueta" },
  said: { en: "said", es: "respuesta" },
  cell: { en: "{label} taken for {said}: {number}", es: "{label} tomado por {said}: {number}" },
  worst: { en: "The worst errors", es: "Los peores errores" },
  error: { en: "Image {image}: {label} taken for {said}, {part} sure", es: "Imagen {image}: {label} tomado por {said}, seguro al {part}" },
  as: { en: "{label} as {said}", es: "{label} como {said}" },
  none: { en: "No errors.", es: "Sin errores." },
});

const CELL = 30;
const MARGIN = 62;
const LARGEST = 36; // labels of a matrix that can be read
const SHORT = 7; // characters of a label beside it

// In one line: "97.8% of 10,000 right".
export function evaluationWords(found) {
  return t("right", { part: share(found.accuracy), images: count(found.images) });
}

export function drawEvaluation(found) {
  if (!found) return html``;
  return html`<div class="evaluation">
    <p class="evaluation-head"><strong>${evaluationWords(found)}</strong>
      <span class="note">${found.inputs}${found.time && html` · ${when(found.time)}`}${found.client && html` · ${t("at", found)}`}</span></p>
    ${found.labels.length > 0 && found.labels.length <= LARGEST && matrix(found)}
    ${worst(found.worst)}
  </div>`;
}

function matrix({ labels, confusion, accuracy }) {
  const most = Math.max(...confusion.flat(), 1);
  const side = MARGIN + CELL * labels.length;
  const middle = (place) => MARGIN + CELL * place + CELL / 2;
  return html`<svg class="confusion" viewBox="0 0 ${side} ${side}" width="${side}" role="img" aria-label="${t("matrix", { part: share(accuracy) })}">
    <text class="confusion-axis" x="2" y="${MARGIN - 8}">${t("label")}</text>
    <text class="confusion-axis" x="${side}" y="12" text-anchor="end">${t("said")}</text>
    ${labels.map((label, place) => html`<text x="${MARGIN - 6}" y="${middle(place) + 4}" text-anchor="end">${brief(label)}<title>${label}</title></text>
      <text x="${middle(place)}" y="${MARGIN - 8}" text-anchor="middle">${brief(label)}<title>${label}</title></text>`)}
    ${confusion.map((row, from) => row.map((number, to) => cell(labels, from, to, number, most)))}
  </svg>`;
}

// The colour grows with the root, so that a few errors among thousands are seen.
function cell(labels, from, to, number, most) {
  const strength = Math.sqrt(number / most);
  const x = MARGIN + CELL * to;
  const y = MARGIN + CELL * from;
  const kind = from === to ? "right" : "wrong";
  return html`<g><title>${t("cell", { label: labels[from], said: labels[to], number: count(number) })}</title>
    <rect class="confusion-empty" x="${x}" y="${y}" width="${CELL - 2}" height="${CELL - 2}" rx="3"/>
    ${number > 0 && html`<rect class="confusion-${kind}" x="${x}" y="${y}" width="${CELL - 2}" height="${CELL - 2}" rx="3" fill-opacity="${(0.12 + 0.88 * strength).toFixed(2)}"/>
      <text class="${strength > 0.6 ? "confusion-on" : ""}" x="${x + CELL / 2 - 1}" y="${y + CELL / 2 + 3}" text-anchor="middle">${number}</text>`}</g>`;
}

function worst(errors) {
  if (!errors.length) return html`<p class="note">${t("none")}</p>`;
  return html`<h4>${t("worst")}</h4><ul class="worst">${errors.map((error) => {
    const words = t("error", { ...error, part: share(error.probability) });
    return html`<li title="${words}">${error.picture && html`<img src="${error.picture}" alt="${words}"/>`}
      <span>${t("as", { label: brief(error.label), said: brief(error.said) })}</span><span class="note">${share(error.probability)}</span></li>`;
  })}</ul>`;
}

function brief(label) {
  return label.length > SHORT ? `${label.slice(0, SHORT - 1)}…` : label;
}
