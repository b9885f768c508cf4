// Small pictures of examples: asked of the bridge with the token, a few at a time, and kept.

import { BridgeError, requestBlob } from "/bridge.js";

const AT_ONCE = 4;
const KEPT = 1000;

const urls = new Map(); // digest -> object URL
const waiting = [];
let busy = 0;

// Fills each <img data-digest data-bytes> below `root` that has no picture yet.
export function fillPictures(root) {
  for (const image of root.querySelectorAll("img[data-digest]:not([src])")) {
    const url = urls.get(image.dataset.digest);
    if (url) image.src = url;
    else if (!image.dataset.asked) {
      image.dataset.asked = "yes";
      waiting.push(image);
    }
  }
  work();
}

function work() {
  while (busy < AT_ONCE && waiting.length) {
    busy += 1;
    load(waiting.shift()).finally(() => {
      busy -= 1;
      work();
    });
  }
}

async function load(image) {
  if (!image.isConnected) return;
  const { digest, bytes } = image.dataset;
  try {
    const url = urls.get(digest) ?? URL.createObjectURL(await requestBlob(`/api/pictures/${digest}?bytes=${bytes}`));
    urls.set(digest, url);
    image.src = url;
    if (urls.size > KEPT) forgetOldest();
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    image.parentElement.dataset.broken = "yes";
  }
}

function forgetOldest() {
  const [digest, url] = urls.entries().next().value;
  urls.delete(digest);
  URL.revokeObjectURL(url);
}
