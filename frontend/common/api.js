// Asking our own server, and hearing from it. Nothing is drawn in here: a drawing bug must not read "connection lost".

export class ApiError extends Error {
  // status 0: no answer came.
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

// An answer may also break off, or be late, after it has begun.
export async function getJson(path, timeout_ms = 10_000) {
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(timeout_ms) });
    if (!response.ok) throw new ApiError(response.status, (await response.text()).trim());
    return await response.json();
  } catch (error) {
    if (error instanceof ApiError || error instanceof SyntaxError) throw error;
    throw new ApiError(0, error.name === "TimeoutError" ? "timeout" : "unreachable");
  }
}

const OPEN_ms = 10_000;

// Server-sent events with JSON data, joined again for ever, also when a stream neither opens nor fails. Each of `names`
// arrives as an event whose `detail` is the data; "open" and "lost" tell of the connection.
export class LiveEvents extends EventTarget {
  #path;
  #names;
  #pause_ms = 500;

  constructor(path, names) {
    super();
    this.#path = path;
    this.#names = names;
  }

  start() {
    const source = new EventSource(this.#path);
    const again = () => {
      clearTimeout(patience);
      source.close();
      this.dispatchEvent(new Event("lost"));
      setTimeout(() => this.start(), this.#pause_ms);
      this.#pause_ms = Math.min(this.#pause_ms * 2, 5000);
    };
    const patience = setTimeout(again, OPEN_ms);
    source.onopen = () => {
      clearTimeout(patience);
      this.#pause_ms = 500;
      this.dispatchEvent(new Event("open"));
    };
    source.onerror = again;
    for (const name of this.#names) {
      source.addEventListener(name, (event) => {
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
      });
    }
  }
}
