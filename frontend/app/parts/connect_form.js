// Which cluster this computer uses: one that was found on the network, or one that an address names; and its key.

import { count } from "/common/format.js";
import { html, render, renderRows } from "/common/html.js";
import { BridgeError, request } from "/bridge.js";
import { setDropTarget } from "/parts/drop.js";
import { KeyBox } from "/parts/key_box.js";
import { toast } from "/parts/toast.js";
import { failureText, t } from "/words.js";

const AGAIN_MS = 2500;
const BY_ADDRESS = "address";

// Calls `done(settings)` once a choice is kept. Returns the function that ends it.
export function mountConnectForm(form, done = () => {}) {
  form.noValidate = true;
  render(form, html`
    <fieldset><legend>${t("connect.which")}</legend>
      <ul class="found" id="found"></ul>
      <p class="looking note" id="looking"><i class="pulse"></i>${t("connect.looking")}</p>
      <div class="choice"><input type="radio" name="cluster" value="${BY_ADDRESS}" id="by-address"><span><label for="by-address"><b>${t("connect.address")}</b></label>
        <input class="field" name="addresses" placeholder="192.168.1.20:7400" autocomplete="off" spellcheck="false" aria-label="${t("connect.address")}">
        <span class="note">${t("connect.address.text")}</span></span></div></fieldset>
    <fieldset><legend>${t("connect.key")}</legend><p class="note">${t("connect.key.text")}</p><div id="key"></div></fieldset>
    <div class="form-end"><button class="button" data-kind="primary" type="submit">${t("connect.do")}</button><p class="problem" id="connect-problem" role="alert"></p></div>`);
  const find = (id) => form.querySelector(`#${id}`);
  const key = new KeyBox(find("key"));
  let clusters = [];
  let stored = "";
  let over = false;
  let timer = 0;

  const look = async () => {
    try {
      ({ clusters } = await request("GET", "/api/nearby"));
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
    }
    if (over) return;
    drawFound(form, clusters);
    timer = setTimeout(look, AGAIN_MS);
  };
  const fill = async () => {
    key.draw();
    try {
      const { cluster } = await request("GET", "/api/settings");
      stored = cluster.key;
      key.stored = stored;
      if (cluster.addresses) {
        form.elements.addresses.value = cluster.addresses;
        find("by-address").checked = true;
      }
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
    }
  };
  form.elements.addresses.addEventListener("input", () => {
    find("by-address").checked = true;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = find("connect-problem");
    const chosen = clusters.find((cluster) => cluster.cluster === form.elements.cluster.value);
    const addresses = form.elements.addresses.value.trim();
    problem.textContent = "";
    if (!chosen && !(form.elements.cluster.value === BY_ADDRESS && addresses)) problem.textContent = t("connect.missing");
    else if (!key.text && !stored) problem.textContent = t("connect.nokey");
    if (problem.textContent) return;
    const asked = { addresses: chosen ? "" : addresses };
    if (chosen) asked.mark = chosen.key;
    if (key.text) asked.key = key.text;
    try {
      const settings = await request("PUT", "/api/settings/cluster", { json: asked });
      toast(t("connect.done"));
      done(settings);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      problem.textContent = failureText(error);
    }
  });
  fill();
  look();
  return () => {
    over = true;
    clearTimeout(timer);
    setDropTarget(null);
  };
}

function drawFound(form, clusters) {
  form.querySelector("#looking").hidden = clusters.length > 0;
  renderRows(form.querySelector("#found"), clusters, ({ cluster }) => cluster, ({ cluster, known, workers }) => {
    const words = t(workers.length === 1 ? "connect.workers.one" : "connect.workers", { count: count(workers.length) });
    return html`<li><label class="choice"><input type="radio" name="cluster" value="${cluster}">
      <span><b>${words}</b><span class="note">${workers.map((worker) => `${worker.id} ${worker.address}`).join(" · ")}</span></span>
      ${known && html`<span class="badge" data-tone="good">${t("connect.known")}</span>`}</label></li>`;
  });
  const [first] = form.querySelectorAll("#found input");
  if (first && !form.elements.cluster.value) first.checked = true;
}
