// Every transaction of every client, newest first: the last ones as they come, older ones and searches from the disk.

import { ApiError, getJson } from "/common/api.js";
import { count, when } from "/common/format.js";
import { html } from "/common/html.js";
import { matches, searchWords } from "/rows.js";
import { t } from "/texts.js";
import { WindowedRows } from "/windowed.js";

const PAGE = 500;
const PAUSE_MS = 150;
const NEAR_PX = 2000;

// The records of one search, oldest first: from the disk, then as the state heard of them.
class Search {
  records = [];
  below = null;
  reading = false;
  reason = "";

  constructor(words) {
    this.words = words;
  }

  // `newest`: what the state keeps, in order. Records that it has let go of meanwhile stay here.
  take(newest) {
    const last = this.records.at(-1)?.record ?? 0;
    this.below ??= newest[0]?.record ?? null;
    if (this.heard !== undefined && newest.length && newest[0].record > this.heard + 1) return false;
    for (const record of newest) if (record.record > last && matches(this.words, textOf(record))) this.records.push(record);
    this.heard = newest.at(-1)?.record ?? this.heard;
    return true;
  }

  get isAll() {
    return this.below === null || this.below <= 1;
  }

  async readMore() {
    this.reading = true;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const query = new URLSearchParams({ search: this.words.join(" "), before: this.below, limit: PAGE });
    try {
      const found = await getJson(`/api/records?${query}`);
      this.records.unshift(...found.records.reverse());
      this.below = found.looked_to;
      this.reason = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.reason = error.message;
    }
    this.reading = false;
  }
}

let search = new Search([]);
let list = null;

const field = () => document.getElementById("records-search");
const place = () => document.querySelector("#records .scroll");
const textOf = (record) => `${record.record} ${record.client} ${record.kind} ${record.summary}`;

export function drawRecords(state) {
  const words = searchWords(field());
  if (words.join(" ") !== search.words.join(" ")) begin(words);
  // A gap, after a lost connection, or a cluster that began anew: the search begins again.
  if (!search.take(state.records)) {
    begin(words);
    search.take(state.records);
  }
  document.getElementById("records-count").textContent = summary(state);
  document.getElementById("records-empty").hidden = state.totals.records > 0;
  list ??= new WindowedRows(place(), document.getElementById("record-rows"));
  list.draw(search.records.toReversed(), (record) => record.record, recordRow);
  readMore(state);
}

// Reads on while the end of the list is near, so that scrolling ends at the first record only.
export function watchRecords(state) {
  field().addEventListener("input", () => drawRecords(state));
  place().addEventListener("scroll", () => readMore(state), { passive: true });
}

function begin(words) {
  search = new Search(words);
}

async function readMore(state) {
  const box = place();
  const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
  if (!near || search.isAll || search.reading || search.reason) return;
  const asked = search;
  await asked.readMore();
  if (asked === search) drawRecords(state);
}

function summary(state) {
  if (search.reason) return t("failed", { reason: search.reason });
  const found = search.isAll ? "foundIn" : "foundSoFar";
  const all = count(state.totals.records);
  if (search.words.length) return t(found, { shown: count(search.records.length), all });
  return t("inAll", { all });
}

function recordRow(record) {
  return html`<tr>
    <td class="number">${count(record.record)}</td>
    <td class="number">${when(record.time)}</td>
    <td class="client" title="${record.client}">${record.client}</td>
    <td><span class="kind">${record.kind}</span></td>
    <td class="summary" title="${record.summary}">${record.summary}</td>
    <td class="number">${count(record.index)}</td>
  </tr>`;
}
