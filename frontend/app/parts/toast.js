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
      element.remove();
      resolve(taken);
    }
    element.querySelector("button")?.addEventListener("click", () => end(true));
  });
}

export function toastFailure(error) {
  return toast(failureText(error), { tone: "bad", stay_ms: 9000 });
}
