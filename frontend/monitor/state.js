// What the page knows of its worker: answers of the API, and the deltas that follow them. Draws nothing.

import { ApiError, getJson, LiveEvents } from "/common/api.js";

const KEPT = 1000;
const FILES_ASKED = 1000;
const RELOAD_ms = 1000;
export const RATE_SECONDS = 60;

// Dispatches "change" with `detail`, a name among status, files, models, records, log, notices, rate, connection.
export class MonitorState extends EventTarget {
  status = null;
  files = new Map();
  models = new Map();
  records = [];
  log = [];
  notices = [];
  totals = { files: 0, models: 0, records: 0, log: 0, notices: 0 };
  connection = { state: "connecting", reason: "" };
  rates = [];

  #events = new LiveEvents("/api/events", ["status", "files", "models", "records", "log", "notices"]);
  #waiting = null;
  #reloading = new Map();
  #sample = null;

  start() {
    const events = this.#events;
    events.addEventListener("open", () => this.#load());
    events.addEventListener("lost", () => {
      this.#waiting = null;
      this.#connect("lost");
    });
    events.addEventListener("status", (event) => {
      this.status = event.detail;
      this.#changed("status");
    });
    for (const name of ["files", "models", "records", "log", "notices"]) {
      events.addEventListener(name, (event) => {
        if (this.#waiting) this.#waiting.push([name, event.detail]);
        else this.#apply(name, event.detail);
      });
    }
    events.start();
    setInterval(() => this.#measure(), 1000);
  }

  // Asks for everything; deltas that arrive meanwhile wait, and those that the answers hold already are left out.
  // What was asked over a connection that is lost is dropped: the next one asks again.
  async #load() {
    const waiting = [];
    this.#waiting = waiting;
    try {
      const [files, models, records, log, notices] = await Promise.all([
        this.#newestFiles(),
        getJson("/api/models"),
        getJson(`/api/records?tail=${KEPT}`),
        getJson("/api/log?tail=200"),
        getJson(`/api/notices?tail=${KEPT}`),
      ]);
      if (this.#waiting !== waiting) return;
      this.#waiting = null;
      this.#replace("files", files);
      this.#replace("models", models);
      this.records = records.records;
      this.totals.records = records.total;
      this.log = log.entries;
      this.totals.log = log.total;
      this.notices = notices.notices;
      const answers = { files, models, records, log, notices };
      for (const [name, delta] of waiting) if (delta.version > answers[name].version) this.#apply(name, delta);
      this.#changed("records");
      this.#changed("log");
      this.#changed("notices");
      this.#connect("live");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#waiting !== waiting) return;
      this.#connect("failed", error.message);
      setTimeout(() => this.#waiting === waiting && this.#load(), RELOAD_ms);
    }
  }

  async #newestFiles() {
    const { total } = await getJson("/api/files?limit=0");
    return getJson(`/api/files?skip=${Math.max(0, total - FILES_ASKED)}`);
  }

  #replace(name, answer) {
    this[name] = new Map(answer[name].map((row) => [String(row.id), row]));
    this.totals[name] = answer.total;
    this.#changed(name);
  }

  #apply(name, delta) {
    this.totals[name] = delta.total;
    if (name === "records") this.records = joined(this.records, delta.records, "record");
    else if (name === "log") this.log = joined(this.log, delta.entries, "index");
    else if (name === "notices") this.notices = joined(this.notices, delta.notices, "notice");
    else if (delta.again) this.#reload(name);
    else {
      for (const row of delta.set) this[name].set(String(row.id), row);
      for (const id of delta.removed) this[name].delete(id);
    }
    this.#changed(name);
  }

  // A flood of changes: reads the table again, at most once a second.
  #reload(name) {
    if (this.#reloading.has(name)) return;
    const read = async () => {
      this.#reloading.delete(name);
      try {
        this.#replace(name, await (name === "files" ? this.#newestFiles() : getJson("/api/models")));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.#reload(name);
      }
    };
    this.#reloading.set(name, setTimeout(read, RELOAD_ms));
  }

  #measure() {
    const index = this.status?.commit_index ?? null;
    const now = performance.now();
    const before = this.#sample;
    this.#sample = index === null ? null : { index, now };
    const rate = before && index !== null ? Math.max(0, ((index - before.index) / (now - before.now)) * 1000) : null;
    this.rates = [...this.rates, rate].slice(-RATE_SECONDS);
    this.#changed("rate");
  }

  #connect(state, reason = "") {
    this.connection = { state, reason };
    this.#changed("connection");
  }

  #changed(name) {
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }
}

// Rows with rising numbers: what comes replaces the tail from its first number on.
function joined(rows, more, key) {
  if (!more.length) return rows;
  const first = more[0][key];
  const kept = rows.length && rows.at(-1)[key] >= first ? rows.filter((row) => row[key] < first) : rows;
  return [...kept, ...more].slice(-KEPT);
}
