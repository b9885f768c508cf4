// A long table of which only the rows in sight, and some around them, are in the document.

import { renderRows } from "/common/html.js";

const AROUND = 24;

// `scroller` is the element that scrolls, `body` the tbody; all rows must be of one height.
export class WindowedRows {
  #scroller;
  #body;
  #above;
  #below;
  #rows = [];
  #key = null;
  #template = null;
  #height = 0;
  #drawn = [0, 0];

  constructor(scroller, body) {
    this.#scroller = scroller;
    this.#body = body;
    this.#above = spacer();
    this.#below = spacer();
    body.before(this.#above);
    body.after(this.#below);
    scroller.addEventListener("scroll", () => this.#isOut() && this.#place(false), { passive: true });
  }

  // Whoever has scrolled down keeps what is in sight where it is, though rows come in at the top.
  draw(rows, key, template) {
    const first = this.#rows.length ? this.#key(this.#rows[0]) : null;
    const added = first === null ? 0 : rows.findIndex((row) => key(row) === first);
    [this.#rows, this.#key, this.#template] = [rows, key, template];
    if (added > 0 && this.#scroller.scrollTop > this.#height) {
      this.#space(rows.length, rows.length);
      this.#scroller.scrollTop += added * this.#height;
    }
    this.#place(added > 0);
  }

  // Whether what is in sight, and a little more, is not all in the document.
  #isOut() {
    if (!this.#height) return true;
    const low = Math.floor(this.#scroller.scrollTop / this.#height) - 2;
    const high = low + Math.ceil(this.#scroller.clientHeight / this.#height) + 4;
    return (low < this.#drawn[0] && this.#drawn[0] > 0) || (high > this.#drawn[1] && this.#drawn[1] < this.#rows.length);
  }

  #place(news) {
    const rows = this.#rows;
    const height = this.#height || 1;
    const low = Math.max(0, Math.floor(this.#scroller.scrollTop / height) - AROUND);
    const seen = this.#height ? Math.ceil(this.#scroller.clientHeight / height) : 0;
    const high = Math.min(rows.length, low + seen + 2 * AROUND);
    const from = Math.min(low, high);
    this.#drawn = [from, high];
    renderRows(this.#body, rows.slice(from, high), this.#key, this.#template, news);
    this.#space(from, rows.length - high);
    if (!this.#height && this.#body.firstElementChild) {
      this.#height = this.#body.firstElementChild.getBoundingClientRect().height;
      if (this.#height) this.#place(false);
    }
  }

  #space(above, below) {
    this.#above.firstElementChild.firstElementChild.style.height = `${above * this.#height}px`;
    this.#below.firstElementChild.firstElementChild.style.height = `${below * this.#height}px`;
  }
}

function spacer() {
  const body = document.createElement("tbody");
  body.className = "spacer";
  body.setAttribute("aria-hidden", "true");
  body.append(document.createElement("tr"));
  body.firstElementChild.append(document.createElement("td"));
  return body;
}
