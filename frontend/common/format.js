// How numbers, sizes, times and digests are written, in the language of the page.

import { html } from "/common/html.js";
import { language } from "/common/words.js";

const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

const NOTHING = "–";
const UNITS = ["B", "kB", "MB", "GB", "TB"];

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

export function count(value) {
  return known(value) ? whole.format(value) : NOTHING;
}

export function decimal(value) {
  return known(value) ? short.format(value) : NOTHING;
}

export function share(value) {
  return known(value) ? percent.format(value) : NOTHING;
}

export function size(bytes) {
  if (!known(bytes)) return NOTHING;
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? short.format(value) : whole.format(value)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (!known(seconds)) return NOTHING;
  if (seconds < 1) return `${whole.format(seconds * 1000)} ms`;
  if (seconds < 60) return `${short.format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${whole.format(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// The time of day for today, the date else; `seconds` since 1970.
export function when(seconds) {
  if (!known(seconds)) return NOTHING;
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return html`<time datetime="${date.toISOString()}" title="${moment.format(date)}">${(today ? clock : day).format(date)}</time>`;
}

// The first characters of a digest, with a colour that equal digests share, and the whole as its title.
export function digest(hex, characters = 10) {
  if (!hex) return NOTHING;
  const hue = Number.parseInt(hex.slice(0, 4), 16) % 12;
  return html`<span class="digest" data-hue="${hue}" title="${hex}">${hex.slice(0, characters)}</span>`;
}
