// The key of a cluster, given once: dropped, chosen or pasted. `text` is what was given, "" if nothing was.

import { html, render } from "/common/html.js";
import { request, requestBlob } from "/bridge.js";
import { icons } from "/icons.js";
import { inWindow, setDropTarget } from "/parts/drop.js";
import { toast, toastFailure } from "/parts/toast.js";
import { t } from "/words.js";

const LARGEST_BYTES = 4096;

export class KeyBox extends EventTarget {
  #root;
  #mark = "";
  #name = "";
  #asked = false;
  text = "";

  constructor(root) {
    super();
    this.#root = root;
    root.addEventListener("click", (event) => {
      const { key } = event.target.closest("[data-key]")?.dataset ?? {};
      if (key === "choose") this.#choose();
      if (key === "replace") this.#replace();
    });
    root.addEventListener("change", (event) => {
      if (event.target.type === "file" && event.target.files.length) this.#takeFile(event.target.files[0]);
    });
    root.addEventListener("input", (event) => {
      if (event.target.name === "key") this.text = event.target.value.trim();
    });
    setDropTarget({
      label: () => t("connect.key.release"),
      files: ([first]) => first && this.#takeFile(first.file),
      handles: ([offer]) => this.#takeHandle(offer),
    });
  }

  // The mark of the key that is on this computer already, "" if none is.
  set stored(mark) {
    this.#mark = mark;
    this.draw();
  }

  draw() {
    const ready = this.#name ? t("connect.key.ready", { name: this.#name }) : this.#mark && !this.#asked ? t("connect.key.stored", { mark: this.#mark.slice(0, 8) }) : "";
    render(this.#root, ready
      ? html`<p class="key-ready">${icons.key}<span>${ready}</span><button type="button" class="link-button" data-key="replace">${t("connect.key.replace")}</button></p>`
      : html`<div class="key-zone">${icons.key}<div><b>${t("connect.key.drop")}</b><span class="note">${t("files.or")}</span>
          <button type="button" class="button" data-key="choose">${t("connect.key.choose")}</button><input type="file" hidden tabindex="-1"></div></div>
        <details class="more"><summary>${t("connect.key.paste")}</summary><label class="labelled"><span>${t("connect.key.field")}</span>
          <input class="field code" type="password" name="key" autocomplete="off" spellcheck="false"></label></details>`);
  }

  #replace() {
    this.text = this.#name = "";
    this.#asked = true;
    this.draw();
    this.#root.querySelector("[data-key=choose]").focus();
  }

  // The system's own dialog in the window, the browser's elsewhere.
  async #choose() {
    if (!inWindow()) {
      this.#root.querySelector("[type=file]").click();
      return;
    }
    try {
      const { handles } = await request("POST", "/api/files/choose");
      if (handles.length) await this.#takeHandle(handles[0]);
    } catch (error) {
      toastFailure(error);
    }
  }

  async #takeHandle(offer) {
    try {
      this.#take(await (await requestBlob(`/api/handles/${offer.handle}`)).text(), offer.name);
    } catch (error) {
      toastFailure(error);
    }
  }

  async #takeFile(file) {
    this.#take(file.size > LARGEST_BYTES ? null : await file.text(), file.name);
  }

  #take(text, name) {
    if (text === null || text.length > LARGEST_BYTES) {
      toast(t("connect.key.large", { name }), { tone: "bad" });
      return;
    }
    this.text = text;
    this.#name = name;
    this.draw();
    this.dispatchEvent(new Event("change"));
  }
}
