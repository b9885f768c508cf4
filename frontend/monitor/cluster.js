// All workers, as this one sees them.

import { count, digest } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { roleBadge, workersOf } from "/rows.js";
import { t } from "/texts.js";

export function drawCluster(state) {
  const status = state.status;
  if (!status) return;
  const newest = Math.max(...workersOf(status).map((worker) => worker.commit_index ?? 0));
  renderRows(
    document.getElementById("cluster-rows"),
    workersOf(status),
    (worker) => worker.id,
    (worker) => html`<tr ${worker.reachable === false ? html`data-offline` : ""}>
      <th scope="row">${name(worker)}${worker.own && html`<span class="tag">${t("here")}</span>`}</th>
      <td>${roleBadge(worker)}</td>
      <td class="number">${count(worker.term)}</td>
      <td class="number">${behind(newest, worker.commit_index)}${count(worker.commit_index)}</td>
      <td class="number">${behind(newest, worker.applied_index)}${count(worker.applied_index)}</td>
      <td>${digest(worker.state_digest)}</td>
      <td class="number">${count(worker.files)}</td>
      <td class="number">${count(worker.models)}</td>
      <td class="number">${count(worker.cores)}</td>
      <td class="code">${worker.address}</td>
    </tr>`,
  );
}

function name(worker) {
  if (worker.own || !worker.monitor) return worker.id;
  return html`<a href="http://${worker.monitor}/" title="${t("openMonitor", { id: worker.id })}">${worker.id}</a>`;
}

function behind(newest, index) {
  if (typeof index !== "number" || index >= newest) return "";
  return html`<span class="behind">${t("behind", { count: count(newest - index) })}</span> `;
}
