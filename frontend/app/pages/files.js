// Files: drop them, watch them go, find them, take them back.

import { count, digest, size, when } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { request } from "/bridge.js";
import { icons } from "/icons.js";
import { inWindow } from "/parts/drop.js";
import { mountQueue } from "/parts/queue.js";
import { sendFiles, sendHandles } from "/parts/sending.js";
import { toast, toastFailure } from "/parts/toast.js";
import { cluster, connection, files } from "/stores.js";
import { t } from "/words.js";

const ROWS = 500;

const COLUMNS = [
  { key: "name", value: (row) => row.name.toLocaleLowerCase() },
  { key: "size", value: (row) => row.bytes, kind: "number" },
  { key: "digest", value: (row) => row.digest },
  { key: "holders", value: (row) => row.holders?.length ?? 0 },
  { key: "created", value: (row) => row.id },
];

// Files that the person has deleted but may still take back: id -> the row.
const leaving = new Map();

let sorting = { key: "created", down: true };

export function mountFiles(root) {
  render(root, html`
    <header class="page-head"><h1>${t("page.files")}</h1><p class="note">${t("files.lead")}</p></header>
    <section class="drop-zone" aria-labelledby="drop-title">
      <span class="drop-sign">${icons.drop}</span>
      <div><p id="drop-title" class="drop-title">${t("files.drop")}</p>
      <p class="note">${t("files.or")} <button type="button" class="button" id="choose">${t("files.choose")}</button>
        <button type="button" class="button" id="choose-folder">${icons.folder}${t("files.choose.folder")}</button></p></div>
      <input type="file" id="chosen" multiple hidden tabindex="-1"><input type="file" id="chosen-folder" webkitdirectory hidden tabindex="-1">
    </section>
    <section class="card queue" id="queue" aria-label="${t("queue.title")}" hidden></section>
    <section class="card" aria-labelledby="list-title">
      <header><h2 id="list-title">${t("files.list")}</h2><span class="note" id="total"></span>
        <label class="search">${icons.search}<input class="field" type="search" id="find" placeholder="${t("files.search")}" aria-label="${t("files.search")}"></label></header>
      <div class="scroll"><table class="table files-table" id="table">
        <thead><tr>${COLUMNS.map(({ key, kind }) => html`<th scope="col" class="${kind}" data-column="${key}"><button type="button" class="sort" data-sort="${key}">${t(`files.${key}`)}</button></th>`)}
          <th scope="col"><span class="unseen">${t("files.actions")}</span></th></tr></thead>
        <tbody id="rows"></tbody></table></div>
      <div id="nothing"></div>
    </section>`);

  const find = root.querySelector("#find");
  const draw = () => drawList(root, find.value);

  for (const [button, input, what] of [["#choose", "#chosen", "files"], ["#choose-folder", "#chosen-folder", "folder"]]) {
    const field = root.querySelector(input);
    root.querySelector(button).addEventListener("click", () => (inWindow() ? chooseInWindow(what) : field.click()));
    field.addEventListener("change", () => {
      const visible = [...field.files].filter((file) => !file.webkitRelativePath.includes("/."));
      sendFiles(visible.map((file) => ({ file, name: file.webkitRelativePath || file.name })), toastFailure);
      field.value = "";
    });
  }
  find.addEventListener("input", draw);
  root.addEventListener("click", (event) => {
    const sort = event.target.closest("[data-sort]");
    if (sort) {
      const key = sort.dataset.sort;
      sorting = { key, down: sorting.key === key ? !sorting.down : false };
      draw();
    }
    const action = event.target.closest("[data-action]");
    if (action) act(action.dataset.action, Number(action.dataset.file), draw);
  });
  const endings = [files.watch(draw), connection.watch(draw), mountQueue(root.querySelector("#queue"))];
  return () => endings.forEach((end) => end());
}

// The system's own dialog, which tells Python the paths.
async function chooseInWindow(what) {
  try {
    const { handles } = await request("POST", "/api/files/choose", { query: { what } });
    if (handles.length) await sendHandles(handles);
  } catch (error) {
    toastFailure(error);
  }
}

async function act(action, id, draw) {
  const row = files.value?.files?.find((each) => each.id === id);
  if (!row) return;
  try {
    if (action === "download") await request("POST", `/api/files/${id}/download`);
    if (action === "remove") await removeUnlessUndone(row, draw);
  } catch (error) {
    toastFailure(error);
  }
}

// The row leaves at once, the file a little later: until then it can be taken back.
async function removeUnlessUndone(row, draw) {
  leaving.set(row.id, row);
  draw();
  try {
    const undone = await toast(t("files.removed", { name: row.name }), { action: t("action.undo") });
    if (!undone) await request("DELETE", `/api/files/${row.id}`);
    if (!undone) await gone(row.id);
  } finally {
    leaving.delete(row.id);
    draw();
  }
}

// Resolves once the list no longer names the file, so that its row does not come back for a moment.
function gone(id) {
  return new Promise((resolve) => {
    const look = () => {
      if (files.value?.files?.some((row) => row.id === id)) return;
      files.removeEventListener("change", look);
      resolve();
    };
    files.addEventListener("change", look);
    look();
  });
}

function drawList(root, wanted) {
  // A deletion may still end when another page is shown already.
  if (!root.isConnected) return;
  const { files: all = null } = files.value ?? {};
  const rows = (all ?? []).filter((row) => !leaving.has(row.id));
  const sought = wanted.trim().toLocaleLowerCase();
  const found = sorted(sought ? rows.filter((row) => row.name.toLocaleLowerCase().includes(sought)) : rows);
  const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
  root.querySelector("#total").textContent = rows.length
    ? t(rows.length === 1 ? "files.count.one" : "files.count", { count: count(rows.length), size: size(bytes) })
    : "";
  for (const head of root.querySelectorAll("[data-column]")) {
    const active = head.dataset.column === sorting.key;
    if (active) head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  root.querySelector("#table").hidden = !found.length;
  root.querySelector(".drop-zone").dataset.size = all && !rows.length ? "large" : "small";
  if (all !== null) renderRows(root.querySelector("#rows"), found.slice(0, ROWS), (row) => row.id, drawRow);
  render(root.querySelector("#nothing"), below(all, rows, found));
}

function below(all, rows, found) {
  if (all === null) {
    const offline = connection.value && connection.value.state !== "online" && connection.value.reason;
    return offline ? html`<p class="empty">${t("files.offline")}</p>` : html`<div class="skeleton" role="status" aria-label="${t("loading")}"><i></i><i></i><i></i></div>`;
  }
  if (!rows.length) return html`<p class="empty">${t("files.empty")}</p>`;
  if (!found.length) return html`<p class="empty">${t("files.none")}</p>`;
  if (found.length > ROWS) return html`<p class="empty">${t("files.shown", { shown: count(ROWS), count: count(found.length) })}</p>`;
  return html``;
}

function sorted(rows) {
  const { value } = COLUMNS.find((column) => column.key === sorting.key);
  const sign = sorting.down ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    return a < b ? -sign : a > b ? sign : one.id - other.id;
  });
}

function drawRow(row) {
  return html`<tr>
    <th scope="row" class="file-name"><span class="file-kind">${icons[kindOf(row.name)]}</span><span title="${row.name}">${row.name}</span></th>
    <td class="number">${size(row.bytes)}</td>
    <td>${digest(row.digest)}</td>
    <td>${holders(row.holders ?? [])}</td>
    <td>${when(row.created)}</td>
    <td class="row-actions">
      <button type="button" class="icon-button" data-action="download" data-file="${row.id}" title="${t("files.download", { name: row.name })}" aria-label="${t("files.download", { name: row.name })}">${icons.download}</button>
      <button type="button" class="icon-button" data-action="remove" data-file="${row.id}" title="${t("files.remove", { name: row.name })}" aria-label="${t("files.remove", { name: row.name })}">${icons.remove}</button>
    </td></tr>`;
}

function holders(names) {
  const all = Math.max(cluster.value?.workers?.length ?? 0, names.length);
  const label = t("files.held", { names: names.join(", ") });
  return html`<span class="copies" title="${label}" role="img" aria-label="${label}">
    ${Array.from({ length: all }, (_, place) => html`<i data-held="${place < names.length ? "yes" : "no"}"></i>`)}</span>`;
}

const KINDS = [
  [/\.(png|jpe?g|gif|webp|bmp|tiff?)$/i, "image"],
  [/(\.(npz|npy|csv|zip|gz|idx\d*-\w+)|ubyte)$/i, "data"],
];

function kindOf(name) {
  return KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? "file";
}
