// The transfers under way: how much is left, what failed and why, and what can be done about it.

import { count, duration, size } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { request } from "/bridge.js";
import { icons } from "/icons.js";
import { toastFailure } from "/parts/toast.js";
import { transfers } from "/stores.js";
import { t, word } from "/words.js";

export function mountQueue(card) {
  render(card, html`<header><h2>${t("queue.title")}</h2><span class="note" id="queue-sum"></span>
      <span class="queue-all"><button type="button" class="link-button" data-queue="stop">${t("queue.stop")}</button><button type="button" class="link-button" data-queue="again">${t("queue.again")}</button>
      <button type="button" class="link-button" data-queue="clear">${t("queue.clear")}</button></span></header>
    <progress class="bar queue-bar" id="queue-bar" max="1" value="0" aria-label="${t("queue.title")}"></progress>
    <ul class="queue-rows" id="queue-rows"></ul>
    <p class="note queue-more" id="queue-more"></p>`);
  card.addEventListener("click", (event) => {
    const button = event.target.closest("[data-queue]");
    if (!button) return;
    const { queue, id } = button.dataset;
    request("POST", id === undefined ? `/api/transfers/${queue}` : `/api/transfers/${id}/${queue}`).catch(toastFailure);
  });
  return transfers.watch(() => draw(card, transfers.value));
}

function draw(card, sum) {
  const rows = sum?.rows ?? [];
  card.hidden = !rows.length;
  if (!rows.length) return;
  const active = sum.waiting + sum.running;
  card.querySelector("#queue-sum").textContent = summary(sum, active);
  const bar = card.querySelector("#queue-bar");
  bar.hidden = !active;
  bar.max = Math.max(sum.bytes, 1);
  bar.value = sum.done_bytes;
  card.querySelector("[data-queue=stop]").hidden = active < 2;
  card.querySelector("[data-queue=again]").hidden = sum.failed < 2;
  card.querySelector("[data-queue=clear]").hidden = !(sum.done + sum.failed + sum.cancelled);
  renderRows(card.querySelector("#queue-rows"), rows.slice(0, 12), (row) => row.id, drawRow);
  const hidden = active + sum.done + sum.failed + sum.cancelled - Math.min(rows.length, 12);
  card.querySelector("#queue-more").textContent = hidden > 0 ? t("queue.more", { count: count(hidden) }) : "";
}

function summary(sum, active) {
  const said = [];
  if (active) {
    said.push(t("queue.busy", { left: count(active), done: size(sum.done_bytes), all: size(sum.bytes) }));
    if (sum.rate > 0) said.push(t("queue.rate", { rate: size(sum.rate) }));
    const left_s = (sum.bytes - sum.done_bytes) / sum.rate;
    if (sum.rate > 0 && left_s > 1.5) said.push(t("queue.time", { time: duration(Math.round(left_s)) }));
  } else if (sum.done) said.push(t("queue.idle", { done: count(sum.done) }));
  if (sum.failed) said.push(t("queue.failed", { failed: count(sum.failed) }));
  return said.join(" · ");
}

function drawRow(row) {
  const moving = row.state === "running";
  return html`<li data-state="${row.state}">
    <span class="queue-icon">${icons[row.state === "done" ? "done" : row.state === "failed" ? "warning" : row.kind === "download" ? "download" : "drop"]}</span>
    <span class="queue-name" title="${row.name}">${row.name}</span>
    <span class="queue-note note">${note(row)}</span>
    ${moving && html`<progress class="bar" max="${Math.max(row.bytes, 1)}" value="${row.done}" aria-label="${t("queue.progress", { name: row.name })}"></progress>`}
    <span class="queue-do">${["failed", "cancelled"].includes(row.state) && button("retry", row)}${["waiting", "running"].includes(row.state) && button("cancel", row)}</span>
  </li>`;
}

function note(row) {
  if (row.state === "failed") return `${row.error?.reason ?? ""} ${row.error?.advice ?? ""}`.trim();
  if (row.state === "running") return `${size(row.done)} / ${size(row.bytes)}`;
  if (row.state === "done") return row.path ? t("saved.to", { path: row.path }) : size(row.bytes);
  return word("state", row.state);
}

function button(action, row) {
  const label = t(`queue.${action}`, { name: row.name });
  return html`<button type="button" class="icon-button" data-queue="${action}" data-id="${row.id}" title="${label}" aria-label="${label}">${icons[action]}</button>`;
}
