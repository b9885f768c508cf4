// Settings: which cluster, how Minka looks and speaks, which keys do what, and what this is.

import { language } from "/common/words.js";
import { html, render } from "/common/html.js";
import { BridgeError, request } from "/bridge.js";
import { mountConnectForm } from "/parts/connect_form.js";
import { THEMES, changeLanguage, changeTheme, theme } from "/parts/look.js";
import { toast, toastFailure } from "/parts/toast.js";
import { connection } from "/stores.js";
import { t, word } from "/words.js";

const LANGUAGES = [["es", "Español"], ["en", "English"]];

const KEYS = [
  [["key.alt", "1 … 8"], "keys.pages"],
  [["key.tab"], "keys.tab"],
  [["/"], "keys.search"],
  [["key.arrows"], "keys.draw"],
  [["key.space"], "keys.pen"],
  [["key.ctrl", "Z"], "keys.undo"],
  [["key.escape"], "keys.clear"],
];

export function mountSettings(root) {
  render(root, html`
    <header class="page-head"><h1>${t("page.settings")}</h1><p class="note">${t("settings.lead")}</p></header>
    <div class="columns columns-settings">
      <section class="card" aria-labelledby="s-cluster"><header><h2 id="s-cluster">${t("settings.cluster")}</h2></header><div class="card-body">
        <p id="source"></p><dl class="facts" id="cluster-facts"></dl>
        <details class="more" id="other"><summary>${t("settings.other")}</summary><form class="form connect" id="connect"></form></details>
        <p><button type="button" class="button" data-kind="danger" id="forget" hidden>${t("settings.forget")}</button></p></div></section>
      <div class="stack">
        <section class="card" aria-labelledby="s-look"><header><h2 id="s-look">${t("settings.look")}</h2></header><div class="card-body look">
          ${segments("theme", t("settings.theme"), THEMES.map((name) => [name, t(`theme.${name || "system"}`)]), theme())}
          ${segments("language", t("settings.language"), LANGUAGES, language)}</div></section>
        <section class="card" aria-labelledby="s-keys"><header><h2 id="s-keys">${t("settings.keyboard")}</h2></header><div class="card-body">
          <dl class="keys">${KEYS.map(([keys, text]) => html`<div><dt>${keys.map((key) => html`<kbd>${key.startsWith("key.") ? t(key) : key}</kbd>`)}</dt><dd>${t(text)}</dd></div>`)}</dl></div></section>
        <section class="card" aria-labelledby="s-about"><header><h2 id="s-about">${t("settings.about")}</h2></header><div class="card-body"><p class="note">${t("about.text")}</p>
          <dl class="facts" id="about"></dl></div></section>
      </div>
    </div>`);
  const find = (id) => root.querySelector(`#${id}`);
  let endForm = () => {};

  const draw = async () => {
    try {
      drawSettings(find, await request("GET", "/api/settings"));
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      toastFailure(error);
    }
  };
  root.addEventListener("change", (event) => {
    if (event.target.name === "theme") changeTheme(event.target.value).catch(toastFailure);
    if (event.target.name === "language") changeLanguage(event.target.value).catch(toastFailure);
  });
  find("other").addEventListener("toggle", () => {
    endForm();
    endForm = find("other").open ? mountConnectForm(find("connect"), () => {
      find("other").open = false;
      draw();
    }) : () => {};
  });
  find("forget").addEventListener("click", async () => {
    try {
      drawSettings(find, await request("DELETE", "/api/settings/cluster"));
      toast(t("settings.forgotten"));
    } catch (error) {
      toastFailure(error);
    }
  });
  const end = connection.watch(draw);
  return () => {
    end();
    endForm();
  };
}

function segments(name, label, choices, chosen) {
  return html`<fieldset class="segments"><legend>${label}</legend><div>${choices.map(([value, text]) => html`
    <label><input type="radio" name="${name}" value="${value}" ${value === chosen && "checked"}><span>${text}</span></label>`)}</div></fieldset>`;
}

function drawSettings(find, settings) {
  const { source, addresses, key } = settings.cluster;
  find("source").textContent = word("settings.source", source);
  find("forget").hidden = !key;
  find("other").hidden = source === "named";
  render(find("cluster-facts"), html`<div><dt>${t("cluster.state.link")}</dt><dd>${word("link", connection.value?.state ?? "connecting")}</dd></div>
    ${addresses && html`<div><dt>${t("cluster.address")}</dt><dd class="code">${addresses}</dd></div>`}
    ${key && html`<div><dt>${t("connect.key")}</dt><dd class="code">${key}</dd></div>`}`);
  render(find("about"), html`${["version", "python", "system"].map((name) => settings[name] && html`<div><dt>${t(`about.${name}`)}</dt><dd>${settings[name]}</dd></div>`)}`);
}
