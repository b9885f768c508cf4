// Large files on their way to this worker, and the last that came.

import { digest, share, size, when } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { t } from "/texts.js";

const ENDED = 20;

export function drawTransfers(state) {
  const active = state.vitals.transfers ?? [];
  const ended = (state.vitals.transferred ?? []).slice(-ENDED).reverse();
  document.getElementById("transfers-empty").hidden = active.length + ended.length > 0;
  document.getElementById("transfers-count").textContent = active.length ? t("underWay", { count: active.length }) : "";
  renderRows(
    document.getElementById("transfer-rows"),
    [...active, ...ended],
    (one) => `${one.way} ${one.digest} ${one.time ?? ""}`,
    (one) => html`<tr>
      <td>${t(`way.${one.way}`)}${one.from && html` <span class="tag">${one.from}</span>`}</td>
      <td>${digest(one.digest)}</td>
      <td class="number">${size(one.bytes)}</td>
      <td class="progress-cell">${one.time ? html`<span class="cell" data-tone="good">✓ ${t("came")}</span> ${when(one.time)}` : bar(one)}</td>
    </tr>`,
  );
}

function bar(one) {
  const part = one.bytes ? one.done / one.bytes : 0;
  return html`<progress class="bar" max="1" value="${part.toFixed(3)}" aria-label="${t("progress", { name: one.digest.slice(0, 10) })}">${share(part)}</progress>`;
}
