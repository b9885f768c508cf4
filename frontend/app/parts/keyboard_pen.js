// Draws without a pointer: the arrows move a ring over the pad, Space puts the pen down and lifts it.

import { SIDE } from "/parts/sketch.js";

const STEP = 14;
const EDGE = 20;
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class KeyboardPen {
  #cursor;
  #sketch;
  #at = [SIDE / 2, SIDE / 2];
  #down = false;

  // `cursor`: the element that shows where the pen is.
  constructor(canvas, cursor, sketch) {
    this.#cursor = cursor;
    this.#sketch = sketch;
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#show(canvas.matches(":focus-visible")));
    for (const name of ["blur", "pointerdown"]) canvas.addEventListener(name, () => this.#show(false));
  }

  #show(shown) {
    this.#cursor.hidden = !shown;
    if (!shown) this.#down = false;
    this.#place();
  }

  #place() {
    const [x, y] = this.#at;
    this.#cursor.style.insetInlineStart = `${(x / SIDE) * 100}%`;
    this.#cursor.style.insetBlockStart = `${(y / SIDE) * 100}%`;
    this.#cursor.dataset.down = this.#down ? "yes" : "no";
  }

  #key(event) {
    const way = WAYS[event.key];
    if (way) this.#move(way, event.shiftKey ? STEP / 2 : STEP);
    else if (event.key === " ") this.#toggle();
    else if (event.key === "Escape" || event.key === "Delete") this.#clear();
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.#undo();
    else return;
    event.preventDefault();
    this.#place();
  }

  #move([right, down], step) {
    this.#cursor.hidden = false;
    const inside = (value) => Math.min(SIDE - EDGE, Math.max(EDGE, value));
    this.#at = [inside(this.#at[0] + right * step), inside(this.#at[1] + down * step)];
    if (this.#down) this.#sketch.go(this.#at);
  }

  #toggle() {
    this.#down = !this.#down;
    if (this.#down) this.#sketch.press(this.#at);
  }

  #undo() {
    this.#down = false;
    this.#sketch.undo();
  }

  #clear() {
    this.#down = false;
    this.#sketch.clear();
  }
}
