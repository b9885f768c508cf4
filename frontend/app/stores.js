// What the page knows, by topic. A store fetches itself when the bridge says that its topic has a new version and
// somebody looks at it, and then dispatches "change"; who draws it listens.

import { BridgeError, BridgeEvents, request } from "/bridge.js";

const AGAIN_MS = 1000;

class Store extends EventTarget {
  value = null;
  #path;
  #version = 0;
  #wanted = 0;
  #watchers = 0;
  #fetching = false;

  constructor(path) {
    super();
    this.#path = path;
  }

  // Calls `listener` now and after each change; returns the function that ends it.
  watch(listener) {
    this.addEventListener("change", listener);
    this.#watchers += 1;
    this.#refresh();
    listener();
    return () => {
      this.removeEventListener("change", listener);
      this.#watchers -= 1;
    };
  }

  wants(version) {
    this.#wanted = version;
    this.#refresh();
  }

  set(value) {
    this.value = value;
    this.dispatchEvent(new Event("change"));
  }

  async #refresh() {
    if (this.#fetching || !this.#watchers) return;
    this.#fetching = true;
    try {
      while (this.#version !== this.#wanted && this.#watchers) {
        const version = this.#wanted;
        this.set(await request("GET", this.#path));
        this.#version = version;
      }
    } catch (error) {
      // The events tell of a lost bridge; what failed on its own is asked for again.
      if (!(error instanceof BridgeError)) throw error;
      setTimeout(() => this.#refresh(), AGAIN_MS);
    } finally {
      this.#fetching = false;
    }
  }
}

export const connection = new Store("/api/connection");
export const cluster = new Store("/api/cluster");
export const datasets = new Store("/api/datasets");
export const files = new Store("/api/files");
export const models = new Store("/api/models");
export const records = new Store("/api/records");
export const transfers = new Store("/api/transfers");

const stores = { connection, cluster, datasets, files, models, records, transfers };

export function startStores() {
  const events = new BridgeEvents("/api/events");
  events.addEventListener("versions", (event) => {
    for (const [topic, version] of Object.entries(event.detail)) stores[topic]?.wants(version);
  });
  events.addEventListener("lost", (event) => {
    connection.set({ state: event.detail.code === "token" ? "locked" : "gone", reason: event.detail.reason, advice: "" });
    connection.wants(-1);
  });
  events.run();
}

// One model in full, followed while it changes. `follow(id)`; "change" when `value` (or `error`) is new.
export class ModelDetails extends EventTarget {
  id = null;
  value = null;
  error = null;
  work = {}; // which worker did how many shards: known while it is trained, and kept here
  #seen = "";
  #stop = null;

  start() {
    this.#stop = models.watch(() => this.#look());
  }

  stop() {
    this.#stop?.();
    this.#stop = null;
  }

  follow(id) {
    if (id === this.id) return;
    this.id = id;
    this.value = this.error = null;
    this.work = {};
    this.#seen = "";
    this.dispatchEvent(new Event("change"));
    if (id !== null) this.#look();
  }

  #look() {
    const row = models.value?.models?.find((each) => each.id === this.id);
    const seen = row ? JSON.stringify(row) : "";
    if (!row || seen === this.#seen) return;
    this.#seen = seen;
    this.#fetch(this.id);
  }

  async #fetch(id) {
    let value = null;
    let error = null;
    try {
      value = await request("GET", `/api/models/${encodeURIComponent(id)}`);
    } catch (caught) {
      if (!(caught instanceof BridgeError)) throw caught;
      error = caught;
      this.#seen = "";
    }
    if (id !== this.id) return;
    if (value) this.value = value;
    if (value?.work) this.work = value.work;
    this.error = error;
    this.dispatchEvent(new Event("change"));
  }
}
