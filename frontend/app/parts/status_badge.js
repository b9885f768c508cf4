// The state of a model, in a word and a colour.

import { html } from "/common/html.js";
import { word } from "/words.js";

const TONES = { done: "good", failed: "bad", cancelled: "warn" };

export function statusBadge(status) {
  if (status in TONES) return html`<span class="badge" data-tone="${TONES[status]}">${word("status", status)}</span>`;
  return html`<span class="badge" data-tone="live">${word("status", status)}</span>`;
}

export function unfinished(model) {
  return ["queued", "preparing", "training"].includes(model?.status);
}
