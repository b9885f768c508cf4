// The files of this worker, newest first: those that one has scrolled to, or that a search has found. Draws nothing.

import { ApiError, getJson } from "/common/api.js";
import { matches } from "/rows.js";

const PAGE = 500;
const FIRST = 200;
const RESTART_ms = 1000;

export const textOf = (row) => `${row.id} ${row.name} ${row.digest ?? ""}`;

export class FileList {
  rows = [];
  reason = "";
  #words;
  #known = new Map();
  #looked = 0;
  #total = null;
  #reading = false;
  #restart = null;

  constructor(words) {
    this.#words = words;
  }

  get isAll() {
    return this.#total !== null && this.#looked >= this.#total;
  }

  // Reads on until something was found; true when there is something new to show.
  async readMore() {
    if (this.#reading || this.isAll || this.reason) return false;
    this.#reading = true;
    const before = this.rows.length;
    try {
      do {
        const limit = this.rows.length ? PAGE : FIRST;
        const query = new URLSearchParams({ search: this.#words.join(" "), skip: this.#looked, limit });
        const answer = await getJson(`/api/files?${query}`);
        for (const row of answer.files) this.#add(row, false);
        this.#looked = answer.looked;
        this.#total = answer.total;
      } while (this.rows.length === before && !this.isAll);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.reason = error.message;
    }
    this.#reading = false;
    return true;
  }

  // What the worker tells of changes; `again` means that too much has moved to tell it: the list begins anew.
  take(delta, begin) {
    if (delta.again) {
      this.#restart ??= setTimeout(begin, RESTART_ms);
      return;
    }
    for (const row of delta.set) if (matches(this.#words, textOf(row))) this.#add(row, true);
    const removed = new Set(delta.removed);
    if (removed.size) {
      this.rows = this.rows.filter((row) => !removed.has(String(row.id)));
      for (const id of removed) this.#known.delete(id);
    }
    // A new file pushes those behind it one place further, a removed one pulls them back.
    if (this.#total !== null && typeof delta.total === "number") {
      this.#looked = Math.max(0, this.#looked + delta.total - this.#total);
      this.#total = delta.total;
    }
  }

  stop() {
    clearTimeout(this.#restart);
  }

  #add(row, newest) {
    const id = String(row.id);
    const known = this.#known.get(id);
    this.#known.set(id, row);
    if (known) this.rows[this.rows.indexOf(known)] = row;
    else if (newest) this.rows.unshift(row);
    else this.rows.push(row);
  }
}
