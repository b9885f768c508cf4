// Files that arrive from outside: dropped on the window, or chosen. A page says what it does with them.
//
// In a browser they are read here. In Minka's own window the drop is also told to Python, which knows the full paths:
// then only opaque handles come, as the event "minka-dropped", and the bytes are never copied through the page.

const veil = document.querySelector("#drop-veil");

let standard = null;
let target = null;

// A target = { label(): text, files(list of { file, name }), handles(list of { handle, name, bytes, folder }) }.
// null: the standard one again.
export function setDropTarget(next) {
  target = next ?? standard;
  hideVeil();
}

export function inWindow() {
  return document.documentElement.dataset.host === "window";
}

function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

function hideVeil() {
  veil.hidden = true;
}

// `takes`: what happens to files that are dropped where the page has nothing special in mind.
export function startDrops(takes) {
  standard = target = takes;
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    if (veil.hidden) veil.textContent = target.label();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hideVeil();
  });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    hideVeil();
    if (inWindow()) return;
    const to = target;
    to.files(await filesOf(event.dataTransfer));
  });
  addEventListener("minka-dropped", (event) => target.handles(event.detail));
}

// All files of a drop, those in folders too, named with their folder.
async function filesOf(transfer) {
  // Entries must be taken before the first await: the transfer is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry, folder, found) {
  if (entry.name.startsWith(".") && folder) return;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, name: folder + entry.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const inner of some) await walk(inner, `${folder}${entry.name}/`, found);
  }
}
