// All workers, as this one sees them.

import { count, digest, duration } from "/common/format.js";
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
      <td class="number">${worker.own ? "" : precise(state.vitals.peers?.[worker.id]?.round_trip_s)}</td>
      <td class="number">${worker.own ? "" : contact(state.vitals.peers?.[worker.id])}</td>
      <td>${digest(worker.state_digest)}</td>
      <td class="number">${count(worker.files)}</td>
      <td class="number">${count(worker.models)}</td>
      <td class="number">${count(worker.cores)}</td>
      <td class="code">${worker.address}</td>
    </tr>`,
  );
}

function precise(seconds) {
  if (typeof seconds !== "number") return "–";
  return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : duration(seconds);
}

// Each worker speaks up five times a second: less than that is now.
function contact(peer) {
  if (typeof peer?.heard_s !== "number") return "–";
  return peer.heard_s < 0.5 ? t("now") : t("ago", { time: duration(peer.heard_s) });
}

function name(worker) {
  if (worker.own || !worker.monitor) return worker.id;
  return html`<a href="http://${worker.monitor}/" title="${t("openMonitor", { id: worker.id })}">${worker.id}</a>`;
}

function behind(newest, index) {
  if (typeof index !== "number" || index >= newest) return "";
  return html`<span class="behind">${t("behind", { count: count(newest - index) })}</span> `;
}
