// Starts the page again when a part of it did not come. When a network is joined or left, Chromium gives up what it is
// loading, from this computer too; and with one module missing the page would stay blank. First in the head of each page.

addEventListener("error", ({ target }) => {
  if (target instanceof HTMLScriptElement || target instanceof HTMLLinkElement) setTimeout(() => location.reload(), 500);
}, true);
