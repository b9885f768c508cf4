// Asking our own server, and hearing from it. Nothing is drawn in here: a drawing bug must not read "connection lost".

export class ApiError extends Error {
  // status 0: no answer came.
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function ask(path, options, timeout_ms) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(timeout_ms) });
  } catch (error) {
    throw new ApiError(0, error.name === "TimeoutError" ? "timeout" : "unreachable");
  }
  if (!response.ok) throw new ApiError(response.status, (await response.text()).trim());
  return response.json();
}

export function getJson(path, timeout_ms = 10_000) {
  return ask(path, {}, timeout_ms);
}

export function postJson(path, value, timeout_ms = 60_000) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(value) }, timeout_ms);
}

// Server-sent events with JSON data, joined again for ever. Each of `names` arrives as an event whose `detail` is the
// data; "open" and "lost" tell of the connection.
export class LiveEvents extends EventTarget {
  #path;
  #names;
  #source = null;
  #pause_ms = 500;

  constructor(path, names) {
    super();
    this.#path = path;
    this.#names = names;
  }

  start() {
    const source = new EventSource(this.#path);
    this.#source = source;
    source.onopen = () => {
      this.#pause_ms = 500;
      this.dispatchEvent(new Event("open"));
    };
    source.onerror = () => {
      this.dispatchEvent(new Event("lost"));
      source.close();
      setTimeout(() => this.start(), this.#pause_ms);
      this.#pause_ms = Math.min(this.#pause_ms * 2, 5000);
    };
    for (const name of this.#names) {
      source.addEventListener(name, (event) => {
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
      });
    }
  }

  stop() {
    this.#source?.close();
  }
}
