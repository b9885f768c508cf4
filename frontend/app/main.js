// Puts the pages into the window: the menu, the state of the connection, and which page is shown.

import { html, render } from "/common/html.js";
import { language, translatePage } from "/common/words.js";
import { icons } from "/icons.js";
import { mountCluster } from "/pages/cluster.js";
import { mountDatasets } from "/pages/datasets.js";
import { mountFiles } from "/pages/files.js";
import { mountModels } from "/pages/models.js";
import { mountRecords } from "/pages/records.js";
import { mountSettings } from "/pages/settings.js";
import { mountTrain } from "/pages/train.js";
import { mountTry } from "/pages/try.js";
import { setDropTarget, startDrops } from "/parts/drop.js";
import { changeLanguage } from "/parts/look.js";
import { sendFiles, sendHandles } from "/parts/sending.js";
import { unfinished } from "/parts/status_badge.js";
import { toastFailure } from "/parts/toast.js";
import { mountWelcome } from "/parts/welcome.js";
import { cluster, connection, models, startStores } from "/stores.js";
import { t, word } from "/words.js";

// One table of the pages: the order of the menu, the digit of the shortcut (Alt+1 ...), what draws them.
const PAGES = [
  { name: "files", mount: mountFiles },
  { name: "datasets", mount: mountDatasets },
  { name: "train", mount: mountTrain },
  { name: "models", mount: mountModels },
  { name: "try", mount: mountTry },
  { name: "cluster", mount: mountCluster },
  { name: "records", mount: mountRecords },
  { name: "settings", mount: mountSettings },
];

const menu = document.querySelector("#menu");
const notice = document.querySelector("#notice");
const linkState = document.querySelector("#link-state");
const content = document.querySelector("#content");
const languageButton = document.querySelector("#language");

let shown = null;
let leave = () => {};
let endWelcome = null;

function place() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return { page: PAGES.find((each) => each.name === name) ?? PAGES[0], argument: decodeURIComponent(rest.join("/")) };
}

function showPage() {
  const { page, argument } = place();
  setDropTarget(null);
  welcome(false);
  guarded(leave);
  leave = () => {};
  const root = document.createElement("div");
  root.className = `page page-${page.name}`;
  document.querySelector("#page").replaceChildren(root);
  document.title = `${t(`page.${page.name}`)} · Minka`;
  if (shown !== null && shown !== page) content.scrollTop = 0;
  shown = page;
  drawMenu();
  guarded(() => {
    leave = page.mount(root, argument) ?? (() => {});
  });
  drawLink();
}

// A fault in drawing is told as what it is, and kept apart from the connection.
function guarded(work) {
  try {
    work();
  } catch (error) {
    showFault(error);
  }
}

function showFault(error) {
  console.error(error);
  const place = document.querySelector("#page");
  if (place.querySelector(".fault")) return;
  const card = document.createElement("section");
  card.className = "card fault";
  card.setAttribute("role", "alert");
  render(card, html`<header><h2>${t("fault.title")}</h2></header>
    <div class="card-body"><p>${t("fault.text")}</p><p class="code">${String(error?.message ?? error)}</p></div>`);
  place.prepend(card);
}

function drawMenu() {
  const training = (models.value?.models ?? []).some(unfinished);
  render(menu, html`<ul>${PAGES.map(
    ({ name }, position) => html`<li><a href="#/${name}" title="Alt+${position + 1}" ${shown?.name === name && html`aria-current="page"`}>
      ${icons[name]}<span>${t(`page.${name}`)}</span>${name === "train" && training && html`<i class="pulse"></i>`}</a></li>`,
  )}</ul>`);
}

function drawLink() {
  const state = connection.value?.state ?? "connecting";
  const workers = cluster.value?.workers ?? [];
  const up = workers.filter((worker) => worker.reachable).length;
  linkState.dataset.state = state;
  render(linkState, html`<strong>${word("link", state)}</strong>
    ${state === "online" && html`<span class="note">${t("link.workers", { up, all: workers.length })}</span>`}`);
  welcome(state === "unset");
  const troubled = state !== "online" && (state !== "connecting" || Boolean(connection.value?.reason));
  notice.hidden = !troubled || endWelcome !== null;
  notice.dataset.state = state;
  document.body.dataset.link = state;
  if (!troubled) return;
  const details = [connection.value.reason, connection.value.advice].filter(Boolean).join(" ");
  render(notice, html`${icons.warning}<div><p>${word("notice", state)}</p>
    ${details && html`<details><summary>${t("notice.details")}</summary><p class="code">${details}</p></details>`}</div>`);
}

// A computer that knows no cluster is shown the way in, in place of pages that have nothing to show.
function welcome(wanted) {
  const shows = wanted && shown?.name !== "settings";
  if (shows === (endWelcome !== null)) return;
  const root = document.querySelector("#welcome");
  root.hidden = !shows;
  document.querySelector("#page").hidden = shows;
  endWelcome?.();
  const card = document.createElement("div");
  root.replaceChildren(card);
  endWelcome = shows ? mountWelcome(card) : null;
}

// Wherever files are dropped they are shared, and the page that shows them on their way is opened.
function share(list) {
  location.hash = "#/files";
  sendFiles(list, toastFailure);
}

function shareHandles(offers) {
  location.hash = "#/files";
  sendHandles(offers).catch(toastFailure);
}

function startKeys() {
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, select, textarea")) {
      const search = document.querySelector("#page [type=search]");
      if (search) event.preventDefault();
      search?.focus();
    }
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const page = PAGES[Number(event.key) - 1];
    if (!page) return;
    event.preventDefault();
    location.hash = `#/${page.name}`;
    content.focus({ preventScroll: true });
  });
}

translatePage(t);
languageButton.textContent = t("language");
languageButton.setAttribute("aria-label", t("language.label"));
languageButton.addEventListener("click", () => changeLanguage(language === "es" ? "en" : "es").catch(toastFailure));
addEventListener("hashchange", showPage);
// A row that was drawn attention to is an ordinary one from then on: moved later, it must not flash again.
addEventListener("animationend", (event) => event.target.classList.remove("fresh"));
addEventListener("error", (event) => event.error && showFault(event.error));
startDrops({ label: () => t("files.release"), files: share, handles: shareHandles });
startKeys();
connection.watch(drawLink);
cluster.watch(drawLink);
models.watch(drawMenu);
showPage();
startStores();
document.documentElement.dataset.ready = "yes";
