// What the page knows of its worker: answers of the API, and the deltas that follow them. Draws nothing.

import { ApiError, getJson, LiveEvents } from "/common/api.js";

const KEPT = 1000;
const RELOAD_ms = 1000;
const SILENT_ms = 3000;
const SAMPLES_KEPT = 300;
const LISTS = ["files", "models", "records", "log", "notices"];

// Dispatches "change" with `detail`, a name among status, vitals, samples, rounds, files, models, records, log, notices,
// connection. The files themselves are a `FileList`'s (files.js): here is only how many there are, and what moved.
export class MonitorState extends EventTarget {
  status = null;
  vitals = {};
  samples = [];
  rounds = new Map();
  models = new Map();
  records = [];
  log = [];
  notices = [];
  totals = { files: 0, models: 0, records: 0, log: 0, notices: 0 };
  connection = { state: "connecting", reason: "" };

  #events = new LiveEvents("/api/events", ["status", "vitals", "sample", "rounds", ...LISTS]);
  #waiting = null;
  #reloading = new Map();
  #heard_ms = 0;

  start() {
    const events = this.#events;
    events.addEventListener("open", () => this.#load());
    events.addEventListener("lost", () => {
      this.#waiting = null;
      this.#connect("lost");
    });
    events.addEventListener("status", (event) => {
      this.status = event.detail;
      this.#heard_ms = performance.now();
      if (this.connection.state === "silent") this.#connect("live");
      this.#changed("status");
    });
    events.addEventListener("vitals", (event) => {
      this.vitals = event.detail;
      this.#changed("vitals");
    });
    events.addEventListener("sample", (event) => {
      this.samples = [...this.samples, event.detail].slice(-SAMPLES_KEPT);
      this.#changed("samples");
    });
    events.addEventListener("rounds", (event) => this.#takeRounds(event.detail.model, event.detail.rounds));
    for (const name of LISTS) {
      events.addEventListener(name, (event) => {
        if (this.#waiting) this.#waiting.push([name, event.detail]);
        else this.#apply(name, event.detail);
      });
    }
    events.start();
    setInterval(() => this.#listen(), 500);
  }

  // The rounds of one model from the beginning; those that come meanwhile win.
  async askRounds(model) {
    try {
      const { rounds } = await getJson(`/api/rounds?${new URLSearchParams({ model })}`);
      const later = this.rounds.get(model) ?? new Map();
      this.rounds.set(model, new Map(rounds.map((row) => [row.round, row])));
      this.#takeRounds(model, [...later.values()]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }

  #takeRounds(model, rows) {
    const known = this.rounds.get(model) ?? new Map();
    for (const row of rows) known.set(row.round, row);
    this.rounds.set(model, known);
    this.#changed("rounds");
  }

  // Asks for everything; deltas that arrive meanwhile wait, and those that the answers hold already are left out.
  // What was asked over a connection that is lost is dropped: the next one asks again.
  async #load() {
    const waiting = [];
    this.#waiting = waiting;
    try {
      const [files, models, records, log, notices, vitals] = await Promise.all([
        getJson("/api/files?limit=0"),
        getJson("/api/models"),
        getJson(`/api/records?tail=${KEPT}`),
        getJson("/api/log?tail=200"),
        getJson(`/api/notices?tail=${KEPT}`),
        getJson("/api/vitals"),
      ]);
      if (this.#waiting !== waiting) return;
      this.#waiting = null;
      this.totals.files = files.total;
      this.#changed("files", { again: true });
      this.#replace("models", models);
      this.rounds.clear();
      this.samples = vitals.samples;
      this.vitals = vitals.vitals;
      this.records = records.records;
      this.totals.records = records.total;
      this.log = log.entries;
      this.totals.log = log.total;
      this.notices = notices.notices;
      this.totals.notices = notices.total;
      const answers = { files, models, records, log, notices };
      for (const [name, delta] of waiting) if (delta.version > answers[name].version) this.#apply(name, delta);
      this.#changed("records");
      this.#changed("log");
      this.#changed("notices");
      this.#changed("samples");
      this.#changed("vitals");
      this.#changed("rounds");
      this.#connect("live");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#waiting !== waiting) return;
      this.#connect("failed", error.message);
      setTimeout(() => this.#waiting === waiting && this.#load(), RELOAD_ms);
    }
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
    else if (name === "files") this.#changed(name, delta);
    else if (delta.again) this.#reload(name);
    else {
      for (const row of delta.set) this[name].set(String(row.id), row);
      for (const id of delta.removed) this[name].delete(id);
    }
    if (name !== "files") this.#changed(name);
  }

  // A flood of changes: reads the table again, at most once a second.
  #reload(name) {
    if (this.#reloading.has(name)) return;
    const read = async () => {
      this.#reloading.delete(name);
      try {
        this.#replace(name, await getJson(`/api/${name}`));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.#reload(name);
      }
    };
    this.#reloading.set(name, setTimeout(read, RELOAD_ms));
  }

  // The node tells its status once a second at least, through its monitor: silence means that it hangs, or is stopped.
  #listen() {
    if (this.connection.state === "live" && performance.now() - this.#heard_ms > SILENT_ms) this.#connect("silent");
  }

  #connect(state, reason = "") {
    this.connection = { state, reason };
    this.#changed("connection");
  }

  #changed(name, delta = null) {
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
    if (delta) this.dispatchEvent(new CustomEvent(name, { detail: delta }));
  }
}

// Rows with rising numbers: what comes replaces the tail from its first number on.
function joined(rows, more, key) {
  if (!more.length) return rows;
  const first = more[0][key];
  const kept = rows.length && rows.at(-1)[key] >= first ? rows.filter((row) => row[key] < first) : rows;
  return [...kept, ...more].slice(-KEPT);
}
