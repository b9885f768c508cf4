// Short messages at the foot of the window, which leave by themselves; one may carry an action.

import { html, render } from "/common/html.js";
import { failureText } from "/words.js";

const area = document.querySelector("#toasts");
const STAY_MS = 6000;

// Returns a promise: true when the action was taken, false when the message left.
export function toast(text, { tone = "plain", action = "", stay_ms = STAY_MS } = {}) {
  const element = document.createElement("div");
  element.className = "toast";
  element.dataset.tone = tone;
  render(element, html`<span>${text}</span>${action && html`<button type="button" class="toast-action">${action}</button>`}`);
  area.append(element);
  while (area.childElementCount > 3) area.firstElementChild.remove();
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(false), stay_ms);
    function end(taken) {
      clearTimeout(timer);
      removeEventListener("keydown", undo);
      element.remove();
      resolve(taken);
    }
    // The newest action is also taken with Ctrl+Z, from anywhere where that means nothing else.
    function undo(event) {
      const newest = [...area.querySelectorAll("button")].at(-1);
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
      if (event.target.closest("input, textarea, canvas") || newest?.closest(".toast") !== element) return;
      event.preventDefault();
      end(true);
    }
    if (action) addEventListener("keydown", undo);
    element.querySelector("button")?.addEventListener("click", () => end(true));
  });
}

export function toastFailure(error) {
  return toast(failureText(error), { tone: "bad", stay_ms: 9000 });
}
