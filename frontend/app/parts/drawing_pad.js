// The drawing area with its buttons: undo, clear, choose a picture. "pictures" (detail: [{ blob, name }]) when some were
// chosen; its `sketch` tells of the rest.

import { html, render } from "/common/html.js";
import { icons } from "/icons.js";
import { KeyboardPen } from "/parts/keyboard_pen.js";
import { Sketch } from "/parts/sketch.js";
import { t } from "/words.js";

export class DrawingPad extends EventTarget {
  sketch;

  constructor(place) {
    super();
    render(place, html`
      <div class="pad"><canvas id="pad" tabindex="0" role="img" aria-label="${t("try.canvas")}" aria-describedby="pad-keys"></canvas><i class="pad-cursor" id="pad-cursor" hidden></i><span class="pad-hint" id="hint" aria-hidden="true">${t("try.hint")}</span>
        <span class="unseen" id="pad-keys">${t("try.keys")}</span></div>
      <div class="pad-end">
        <button type="button" class="button" id="undo">${icons.undo}${t("try.undo")}</button>
        <button type="button" class="button" id="clear">${icons.remove}${t("try.clear")}</button>
        <button type="button" class="button" id="choose">${icons.image}${t("try.image")}</button>
        <input type="file" id="chosen" accept="image/*" multiple hidden tabindex="-1">
      </div>`);
    const find = (id) => place.querySelector(`#${id}`);
    this.sketch = new Sketch(find("pad"));
    new KeyboardPen(find("pad"), find("pad-cursor"), this.sketch);
    const follow = () => {
      find("hint").hidden = !this.sketch.empty;
      find("undo").disabled = find("clear").disabled = this.sketch.empty;
    };
    this.sketch.addEventListener("change", follow);
    follow();
    find("undo").addEventListener("click", () => this.sketch.undo());
    find("clear").addEventListener("click", () => this.sketch.clear());
    find("choose").addEventListener("click", () => find("chosen").click());
    find("chosen").addEventListener("change", (event) => {
      const pictures = [...event.target.files].map((file) => ({ blob: file, name: file.name }));
      event.target.value = "";
      if (pictures.length) this.dispatchEvent(new CustomEvent("pictures", { detail: pictures }));
    });
  }
}
