// The bridge on this computer: its token, its requests, its events. Nothing is drawn in here.

const token = sessionStorage.getItem("minka.token") ?? ""; // put there by start.js

// `code` is one of Minka's families of failure, or "bridge": the program on this computer did not answer, or "token".
export class BridgeError extends Error {
  constructor(code, reason = "", advice = "") {
    super(reason);
    this.code = code;
    this.reason = reason;
    this.advice = advice;
  }
}

async function failure(response) {
  if (response.status === 403) return new BridgeError("token");
  try {
    const told = await response.json();
    return new BridgeError(told.code, told.reason, told.advice);
  } catch {
    return new BridgeError("bridge", `${response.status} ${response.statusText}`);
  }
}

async function send(method, path, { query = {}, json, body, signal } = {}) {
  const search = new URLSearchParams(query).toString();
  const headers = { "X-Minka-Token": token };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(search ? `${path}?${search}` : path, {
      method,
      headers,
      body: json !== undefined ? JSON.stringify(json) : body ?? (method === "GET" || method === "DELETE" ? undefined : ""),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BridgeError("bridge");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

// An answer that breaks off is no answer.
async function body(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BridgeError("bridge");
  }
}

export async function request(method, path, options) {
  return body((await send(method, path, options)).json());
}

export async function requestBlob(path) {
  return body((await send("GET", path)).blob());
}

// Server-sent events, read with fetch because an EventSource cannot carry the token; joined again for ever.
// Dispatches each event by its name with its data as `detail`, and "open", "lost" (detail: the error).
export class BridgeEvents extends EventTarget {
  #path;

  constructor(path) {
    super();
    this.#path = path;
  }

  async run() {
    let pause_ms = 250;
    for (;;) {
      let error = new BridgeError("bridge");
      try {
        const response = await send("GET", this.#path);
        this.dispatchEvent(new Event("open"));
        pause_ms = 250;
        await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch (caught) {
        if (caught instanceof BridgeError) error = caught;
      }
      this.dispatchEvent(new CustomEvent("lost", { detail: error }));
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
      pause_ms = Math.min(pause_ms * 2, 4000);
    }
  }

  async #read(reader) {
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) this.#tell(event);
    }
  }

  #tell(event) {
    const name = /^event: (.*)$/m.exec(event);
    const data = /^data: (.*)$/m.exec(event);
    if (!name || !data) return;
    const detail = JSON.parse(data[1]);
    // A listener that throws must not read as a lost connection: it is told to the console, on its own.
    queueMicrotask(() => this.dispatchEvent(new CustomEvent(name[1], { detail })));
  }
}
