// How many examples each class has, as bars in the order of the labels. `pick(label)` makes of each row a button.

import { count } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { t } from "/words.js";

const ROWS = 400;

const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });

// `labels`: { label: how many }; `chosen`: the label that is picked, or null.
export function drawClassBars(list, labels, chosen = null, pickable = false) {
  const all = Object.entries(labels).sort(([one], [other]) => collator.compare(one, other));
  const rows = all.slice(0, ROWS);
  const most = Math.max(...rows.map(([, number]) => number), 1);
  renderRows(list, rows, ([label]) => label, ([label, number]) => {
    const bar = html`<span class="class-label" title="${label}">${label}</span><progress class="bar" max="${most}" value="${number}" aria-hidden="true"></progress><span class="number note">${count(number)}</span>`;
    return pickable
      ? html`<li><button type="button" class="class-row" data-label="${label}" aria-pressed="${label === chosen}" title="${t("datasets.only", { label })}">${bar}</button></li>`
      : html`<li><span class="class-row">${bar}</span></li>`;
  });
}
