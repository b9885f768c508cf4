// What is shown while this computer knows no cluster: who is nearby, and the way in.

import { html, render } from "/common/html.js";
import { icons } from "/icons.js";
import { mountConnectForm } from "/parts/connect_form.js";
import { toast } from "/parts/toast.js";
import { t } from "/words.js";

const COMMAND = "minka cluster up --workers 3 --data cluster";

// Returns the function that ends it.
export function mountWelcome(root) {
  render(root, html`<section class="card welcome" aria-labelledby="welcome-title">
    <header class="welcome-head"><img src="/common/mark.svg" alt="" width="64" height="64"><div><h1 id="welcome-title">${t("welcome.title")}</h1><p class="note">${t("welcome.lead")}</p></div></header>
    <form class="form connect" id="connect"></form>
    <footer class="welcome-foot"><p class="note">${t("welcome.local")}</p><p class="command"><code>${COMMAND}</code>
      <button type="button" class="button" id="copy">${icons.copy}${t("welcome.copy")}</button></p></footer></section>`);
  root.querySelector("#copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(COMMAND);
      toast(t("welcome.copied"));
    } catch {
      // Not every web view lets a page write there: what is marked can be copied by hand.
      getSelection().selectAllChildren(root.querySelector("code"));
    }
  });
  return mountConnectForm(root.querySelector("#connect"));
}
