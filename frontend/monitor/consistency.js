// The consistency matrix: rows are files and models, columns are workers. This worker shows its own digests. A peer
// whose state digest was equal at an applied index holds the same names and digests, all that were there by then.

import { count, digest, size } from "/common/format.js";
import { html, render } from "/common/html.js";
import { FileList, textOf } from "/files.js";
import { matches, searchWords, workersOf } from "/rows.js";
import { t } from "/texts.js";
import { WindowedRows } from "/windowed.js";

const NEAR_PX = 2000;
const PAUSE_ms = 150;

let files = new FileList([]);
let words = [];
let list = null;
let redraw = () => {};

const field = () => document.getElementById("files-search");
const place = () => document.querySelector("#consistency .scroll");

// Reads on while the end of the list is near; `drawSoon` draws it.
export function watchFiles(state, drawSoon) {
  redraw = drawSoon;
  let pause = null;
  field().addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(begin, PAUSE_ms);
  });
  place().addEventListener("scroll", readMore, { passive: true });
  state.addEventListener("files", (event) => {
    if (event.detail.again && files.rows.length === 0) begin();
    else files.take(event.detail, begin);
    redraw();
  });
}

function begin() {
  files.stop();
  words = searchWords(field());
  files = new FileList(words);
  readMore();
}

async function readMore() {
  const box = place();
  const asked = files;
  if (asked.rows.length && box.scrollHeight - box.scrollTop - box.clientHeight > NEAR_PX) return;
  if ((await asked.readMore()) && asked === files) redraw();
}

export function drawVerdict(state) {
  const status = state.status;
  if (!status) return;
  const workers = workersOf(status);
  const different = status.peers.filter((peer) => peer.agrees === false);
  const equal = 1 + status.peers.filter((peer) => peer.agrees && peer.reachable).length;
  const all = workers.length;
  let [tone, text] = ["good", t("allAgree", { count: all })];
  if (different.length) [tone, text] = ["bad", t("someDiffer", { ids: different.map((peer) => peer.id).join(", ") })];
  else if (equal < all) [tone, text] = ["warn", t("someUnknown", { count: equal, all })];
  render(document.getElementById("verdict"), html`<span class="badge" data-tone="${tone}">${text}</span>`);
  render(
    document.getElementById("matrix-head"),
    html`<tr><th scope="col">${t("name")}</th><th scope="col" class="number">${t("size")}</th>${workers.map(
      (worker) => html`<th scope="col">${worker.id}${worker.own && html`<span class="tag">${t("here")}</span>`}</th>`,
    )}</tr>`,
  );
  render(
    document.getElementById("matrix-state"),
    html`<tr><th scope="row">${t("stateAt", { index: count(status.applied_index) })}</th><td></td>${workers.map(
      (worker) => html`<td class="cell">${digest(worker.state_digest)}${worker.own ? "" : agreement(worker)}</td>`,
    )}</tr>`,
  );
}

export function drawMatrix(state) {
  const status = state.status;
  if (!status) return;
  const models = [...state.models.values()].filter((row) => matches(words, textOf(row)));
  const rows = [...models.map((row) => ({ ...row, what: "model" })), ...files.rows];
  list ??= new WindowedRows(place(), document.getElementById("matrix-rows"));
  list.draw(rows, (row) => `${row.what ?? "file"} ${row.id}`, (row) => matrixRow(row, status));
  const all = state.totals.files + state.totals.models;
  render(document.getElementById("matrix-more"), html`${summary(rows.length, all)}`);
}

function summary(shown, all) {
  if (files.reason) return t("failed", { reason: files.reason });
  if (words.length) return t(files.isAll ? "foundIn" : "foundSoFar", { shown: count(shown), all: count(all) });
  return t("inAll", { all: count(all) });
}

function matrixRow(row, status) {
  return html`<tr>
    <th scope="row" title="${row.name}">${row.name} <span class="tag">${t(row.what ?? "file")} ${row.id}</span></th>
    <td class="number">${size(row.bytes)}</td>
    <td class="cell">${row.digest ? digest(row.digest) : html`<span class="note">${t("noDigest")}</span>`}</td>
    ${status.peers.map((peer) => cell(peer, row))}
  </tr>`;
}

// Tone, sign, words and explanation of what is known of a peer's whole state.
function verdictOf(peer) {
  if (peer.agrees === false) return ["bad", "≠", t("different"), t("differentAt", { index: count(peer.compared_index) })];
  if (peer.reachable === false) return ["none", "·", t("unreachable"), t("unreachable")];
  if (peer.agrees) return ["good", "=", t("equal"), t("equalAt", { index: count(peer.compared_index) })];
  return ["warn", "…", t("pending"), t("pending")];
}

function agreement(peer) {
  const [tone, sign, text, title] = verdictOf(peer);
  return html` <span class="cell" data-tone="${tone}" title="${title}">${sign} ${text}</span>`;
}

// The same for one row: it is equal once the states were equal at an index at which the row was there as it is now.
// Which rows a different state differs in, only that worker's own monitor can tell.
function cell(peer, row) {
  let [tone, sign, text, title] = verdictOf(peer);
  if (tone === "bad") [sign, text, title] = ["?", t("inDoubt"), t("inDoubt")];
  if (tone === "good" && row.changed > peer.compared_index) [tone, sign, text, title] = ["warn", "…", t("pending"), t("pending")];
  return html`<td class="cell" data-tone="${tone}" title="${title}"><span aria-hidden="true">${sign}</span> <span class="unseen">${text}</span></td>`;
}
