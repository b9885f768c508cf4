// This worker: its role, its place in the log, its timers, how busy and full its machine is, and the ring of workers.

import { count, decimal, duration, share, size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { drawSparkline } from "/common/sparkline.js";
import { roleBadge, roleOf, workersOf } from "/rows.js";
import { t } from "/texts.js";

const RADIUS = 66;
const SECONDS = 120;

export function drawOverview(state) {
  const status = state.status;
  if (!status) return;
  document.title = `${status.id} · Minka`;
  document.getElementById("worker-id").textContent = status.id;
  document.querySelector(".hero").dataset.role = roleOf(status);
  render(
    document.getElementById("role"),
    html`<div><p class="name">${status.id}</p>${roleBadge(status)}<p class="note">${leaderLine(status)}</p></div>`,
  );
  const figures = [
    ["term", status.term],
    ["committed", status.commit_index],
    ["applied", status.applied_index],
    ["files", status.files],
    ["models", status.models],
    ["records", state.totals.records],
    ["cores", status.cores],
    ["training", state.vitals.trainers],
  ];
  render(document.getElementById("timers"), html`${timers(status, state.vitals)}`);
  render(
    document.getElementById("figures"),
    html`${figures.map(([name, value]) => html`<div><dt>${t(`figure.${name}`)}</dt><dd>${count(value)}</dd></div>`)}`,
  );
  drawRing(status, (state.samples.at(-1)?.rates.commits ?? 0) > 0);
}

// How long this worker waits for what, in words.
function timers(status, vitals) {
  if (!vitals.election_timeout_s) return "";
  const wait = duration(vitals.election_timeout_s);
  const twice = duration(2 * vitals.election_timeout_s);
  if (status.role === "leader") return t("timerLeader", { wait });
  const heard = vitals.peers?.[status.leader]?.heard_s;
  const silence = typeof heard === "number" ? t("timerHeard", { leader: status.leader, time: duration(heard) }) : "";
  return `${t("timerFollower", { wait, twice })} ${silence}`;
}

const mean = (values) => (values?.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
const ratio = (part, whole) => (part !== null && part !== undefined && whole ? part / whole : null);

// Each: what its line shows, in which unit, and the value at its upper edge (0: the highest).
const GAUGES = {
  commits: { of: (sample) => sample.rates.commits, text: (value) => `${decimal(value)}/s`, full: 0 },
  busy: { of: (sample) => mean(sample.cores), text: share, full: 1, more: cores },
  node: { of: (sample) => sample.node_share, text: share, full: 0, more: (sample) => size(sample.node_bytes) },
  memory: {
    of: (sample) => ratio(sample.memory_used_bytes, sample.memory_bytes),
    text: share,
    full: 1,
    more: (sample) => t("usedOf", { used: size(sample.memory_used_bytes), all: size(sample.memory_bytes) }),
  },
  disk: {
    of: (sample) => ratio(sample.disk_used_bytes, sample.disk_bytes),
    text: share,
    full: 1,
    more: (sample) => t("usedOf", { used: size(sample.disk_used_bytes), all: size(sample.disk_bytes) }),
  },
};

function cores(sample) {
  return (sample.cores ?? []).length > 8 ? t("coresBusy", { count: sample.cores.length }) : sample.cores.map((one) => share(one)).join(" · ");
}

export function drawGauges(state) {
  const samples = state.samples.slice(-SECONDS);
  const last = samples.at(-1);
  if (!last) return;
  for (const [name, gauge] of Object.entries(GAUGES)) {
    const figure = document.getElementById(`gauge-${name}`);
    const value = gauge.of(last) ?? null;
    figure.hidden = value === null && !samples.some((sample) => gauge.of(sample) !== null);
    figure.querySelector("strong").textContent = gauge.text(value);
    figure.querySelector(".note").textContent = gauge.more?.(last) ?? "";
    const label = `${t(`gauge.${name}`)}: ${gauge.text(value)}`;
    drawSparkline(figure.querySelector("svg"), samples.map((sample) => gauge.of(sample) ?? null), label, SECONDS, gauge.full);
  }
  if (state.status) drawRing(state.status, (last.rates.commits ?? 0) > 0);
}

function leaderLine(status) {
  if (!status.leader) return t("noLeader");
  return status.leader === status.id ? t("leads") : t("ledBy", { leader: status.leader });
}

// The workers on a circle, joined to the leader; a dot travels along each line while entries are committed.
function drawRing(status, moving) {
  const svg = document.getElementById("ring");
  const workers = workersOf(status).sort((a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }));
  const alone = workers.length === 1;
  const places = workers.map((worker, position) => {
    const angle = (2 * Math.PI * position) / workers.length - Math.PI / 2;
    return { worker, x: alone ? 0 : Math.cos(angle) * RADIUS, y: alone ? 0 : Math.sin(angle) * RADIUS };
  });
  const leader = places.find(({ worker }) => worker.id === status.leader);
  const lines = leader ? places.filter((place) => place !== leader) : [];
  svg.setAttribute(
    "aria-label",
    t("ring", {
      reachable: workers.filter((worker) => worker.reachable !== false).length,
      all: workers.length,
      leader: status.leader ?? "–",
    }),
  );
  const markup = html`<svg xmlns="http://www.w3.org/2000/svg">${lines.map((place) => link(leader, place, moving))}${places.map(emblem)}</svg>`;
  if (svg.dataset.shown === markup.text) return;
  svg.dataset.shown = markup.text;
  const drawn = new DOMParser().parseFromString(markup.text, "image/svg+xml").documentElement;
  for (const dot of drawn.querySelectorAll(".pulse")) {
    dot.style.setProperty("--to-x", `${dot.dataset.x}px`);
    dot.style.setProperty("--to-y", `${dot.dataset.y}px`);
  }
  svg.replaceChildren(...drawn.childNodes);
}

function link(leader, place, moving) {
  const cut = place.worker.reachable === false || leader.worker.reachable === false;
  const [x1, y1, x2, y2] = [leader.x, leader.y, place.x, place.y].map((value) => value.toFixed(1));
  const [dx, dy] = [place.x - leader.x, place.y - leader.y].map((value) => value.toFixed(1));
  return html`<g class="${moving && !cut ? "moving" : ""}">
    <line class="${cut ? "cut" : ""}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>
    <circle class="pulse" cx="${x1}" cy="${y1}" r="3.5" data-x="${dx}" data-y="${dy}"/>
  </g>`;
}

function emblem({ worker, x, y }) {
  const id = worker.id.length > 12 ? `${worker.id.slice(0, 11)}…` : worker.id;
  return html`<g>
    <circle class="${worker.own ? "self" : ""}" data-role="${roleOf(worker)}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="13"/>
    <text x="${x.toFixed(1)}" y="${(y + 29).toFixed(1)}">${id}</text>
  </g>`;
}
