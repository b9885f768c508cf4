// Probabilities as bars that glide to their new length. One row for each label, in the order of the labels.

import { share } from "/common/format.js";
import { html, renderRows } from "/common/html.js";

const SHOWN = 12;

export function drawBars(container, probabilities) {
  const entries = Object.entries(probabilities);
  const best = Math.max(...entries.map(([, value]) => value));
  const shown = entries.length > SHOWN ? [...entries].sort((one, other) => other[1] - one[1]).slice(0, SHOWN) : entries;
  // The text is the same for equal labels, so that the elements stay and only their length changes.
  renderRows(container, shown, ([label]) => label, ([label]) => html`<div class="bar-row"><span class="bar-label">${label}</span><span class="bar-track"><i></i></span><span class="bar-share number"></span></div>`);
  shown.forEach(([, value], place) => {
    const row = container.children[place];
    row.dataset.best = value === best ? "yes" : "no";
    row.querySelector("i").style.inlineSize = `${(value * 100).toFixed(1)}%`;
    row.querySelector(".bar-share").textContent = share(value);
  });
}
