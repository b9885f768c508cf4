// Records: what was decided, in the order of the log; the newest on top.

import { count, digest, when } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { icons } from "/icons.js";
import { connection, records } from "/stores.js";
import { t, word } from "/words.js";

const ROWS = 300;

export function mountRecords(root) {
  render(root, html`
    <header class="page-head"><h1>${t("page.records")}</h1><p class="note">${t("records.lead")}</p></header>
    <section class="card" aria-label="${t("page.records")}">
      <header><span class="note" id="total"></span><label class="search">${icons.search}<input class="field" type="search" id="find" placeholder="${t("records.search")}" aria-label="${t("records.search")}"></label></header>
      <div class="scroll"><table class="table" id="table"><thead><tr>
        ${["number", "time", "kind", "summary", "client", "index"].map((name) => html`<th scope="col" class="${["number", "index"].includes(name) && "number"}">${t(`records.${name}`)}</th>`)}
      </tr></thead><tbody id="rows"></tbody></table></div>
      <div id="nothing"></div></section>`);
  const find = root.querySelector("#find");
  const draw = () => drawRecords(root, find.value.trim().toLocaleLowerCase());
  find.addEventListener("input", draw);
  const endings = [records.watch(draw), connection.watch(draw)];
  return () => endings.forEach((end) => end());
}

function drawRecords(root, sought) {
  const known = records.value?.known ?? false;
  const rows = records.value?.records ?? [];
  const found = rows.filter((row) => !sought || `${row.summary} ${row.client} ${row.kind}`.toLocaleLowerCase().includes(sought));
  root.querySelector("#total").textContent = rows.length ? t("records.count", { count: count(rows.at(-1).record) }) : "";
  root.querySelector("#table").hidden = !found.length;
  if (known) renderRows(root.querySelector("#rows"), found.slice(-ROWS).reverse(), (row) => row.record, drawRow);
  render(root.querySelector("#nothing"), below(known, rows, found));
}

function below(known, rows, found) {
  if (!known) {
    return connection.value?.reason ? html`<p class="empty">${t("records.offline")}</p>` : html`<div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`;
  }
  if (!rows.length) return html`<p class="empty">${t("records.empty")}</p>`;
  return found.length ? html`` : html`<p class="empty">${t("records.none")}</p>`;
}

function drawRow(row) {
  return html`<tr><td class="number note">${row.record}</td><td>${when(row.time)}</td><td><span class="kind" data-kind="${row.kind}">${word("kind", row.kind)}</span></td>
    <td class="summary">${shortened(row.summary)}</td><td class="note">${row.client}</td><td class="number note">${row.index}</td></tr>`;
}

// Digests are 64 letters long: their beginning tells them apart, the whole is their title.
function shortened(summary) {
  return summary.split(/\b([0-9a-f]{64})\b/).map((part, place) => (place % 2 ? digest(part) : part));
}
