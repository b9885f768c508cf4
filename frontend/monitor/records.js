// Every transaction of every client, newest first.

import { count, when } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { matches, searchWords } from "/rows.js";
import { t } from "/texts.js";

const SHOWN = 200;

export function drawRecords(state) {
  const words = searchWords(document.getElementById("records-search"));
  const found = [];
  for (let place = state.records.length - 1; place >= 0 && found.length < SHOWN; place -= 1) {
    const record = state.records[place];
    if (matches(words, `${record.record} ${record.client} ${record.kind} ${record.summary}`)) found.push(record);
  }
  document.getElementById("records-count").textContent = t("shownOf", {
    shown: count(found.length),
    all: count(state.totals.records),
  });
  document.getElementById("records-empty").hidden = state.totals.records > 0;
  renderRows(
    document.getElementById("record-rows"),
    found,
    (record) => record.record,
    (record) => html`<tr>
      <td class="number">${count(record.record)}</td>
      <td class="number">${when(record.time)}</td>
      <td class="client" title="${record.client}">${record.client}</td>
      <td><span class="kind">${record.kind}</span></td>
      <td class="summary">${record.summary}</td>
      <td class="number">${count(record.index)}</td>
    </tr>`,
  );
}
