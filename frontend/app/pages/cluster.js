// Cluster: who is there, who leads, and whether all hold the same.

import { count, digest } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { icons } from "/icons.js";
import { workerMap } from "/parts/worker_map.js";
import { cluster, connection } from "/stores.js";
import { t, word } from "/words.js";

// One leads: a row that still says so of another was written before the election.
function roleOf(worker, leader) {
  if (!worker.reachable) return "offline";
  return worker.role === "leader" && worker.id !== leader ? "follower" : worker.role;
}

export function mountCluster(root) {
  render(root, html`
    <header class="page-head"><h1>${t("page.cluster")}</h1><p class="note">${t("cluster.lead")}</p></header>
    <section class="card map-card" aria-label="${t("cluster.map")}"><div id="map" class="map"></div><dl class="figures" id="figures"></dl></section>
    <section class="card"><div class="scroll"><table class="table" id="table"><thead><tr>
      ${["worker", "address", "applied", "state", "cores", "monitor"].map((name) => html`<th scope="col" class="${["applied", "cores"].includes(name) && "number"}">${t(`cluster.${name}`)}</th>`)}
      </tr></thead><tbody id="rows"></tbody></table></div></section>`);
  const draw = () => drawCluster(root, cluster.value);
  const endings = [cluster.watch(draw), connection.watch(draw)];
  return () => endings.forEach((end) => end());
}

function drawCluster(root, status) {
  const find = (id) => root.querySelector(`#${id}`);
  const workers = status?.workers ?? [];
  find("table").closest(".card").hidden = !workers.length;
  if (!workers.length) {
    render(find("map"), html`<div class="quiet">${icons.cluster}<p>${t("cluster.offline")}</p></div>`);
    render(find("figures"), html``);
    return;
  }
  render(find("map"), workerMap(workers.map((worker) => ({ id: worker.id, role: roleOf(worker, status.leader), word: word("role", roleOf(worker, status.leader)) }))));
  const cores = workers.reduce((sum, worker) => sum + (worker.reachable ? worker.cores ?? 0 : 0), 0);
  render(find("figures"), html`
    <div><dt>${t("cluster.term")}</dt><dd class="number">${count(status.term)}</dd></div>
    <div><dt>${t("cluster.commit")}</dt><dd class="number">${count(status.commit_index)}</dd></div>
    <div><dt>${t("cluster.cores")}</dt><dd class="number">${count(cores)}</dd></div>
    <div><dt>${t("files.holders")}</dt><dd>${agreement(workers)}</dd></div>`);
  renderRows(find("rows"), workers, (worker) => worker.id, (worker) => drawRow(worker, roleOf(worker, status.leader)));
}

// Digests can be compared only where the same index is applied.
function agreement(workers) {
  const up = workers.filter((worker) => worker.reachable && worker.state_digest);
  const last = Math.max(...up.map((worker) => worker.applied_index));
  const level = up.filter((worker) => worker.applied_index === last);
  const equal = new Set(level.map((worker) => worker.state_digest)).size <= 1;
  return equal && level.length === up.length
    ? html`<span class="badge" data-tone="good">${t("cluster.equal")}</span>`
    : html`<span class="badge" data-tone="warn">${t("cluster.behind")}</span>`;
}

function drawRow(worker, role) {
  return html`<tr><th scope="row">${worker.id} <span class="badge" data-role="${role}">${word("role", role)}</span></th>
    <td class="code">${worker.address}</td><td class="number">${count(worker.applied_index)}</td><td>${digest(worker.state_digest)}</td>
    <td class="number">${count(worker.cores)}</td>
    <td>${worker.monitor && html`<a href="http://${worker.monitor}/" target="_blank" rel="noreferrer" title="${worker.monitor}" aria-label="${t("cluster.open", { worker: worker.id, address: worker.monitor })}">${t("cluster.open.short")} ↗</a>`}</td></tr>`;
}
