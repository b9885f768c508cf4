// Sends files from the page to the bridge, piece by piece, a few at a time; the bridge queues them for the cluster.

import { request } from "/bridge.js";

const PIECE_BYTES = 4 * 1024 * 1024;
const AT_ONCE = 3;

async function sendOne({ file, name }) {
  const first = file.slice(0, PIECE_BYTES);
  let answer = await request("POST", "/api/uploads", { query: { name, bytes: file.size }, body: first });
  while (!answer.transfer) {
    const piece = file.slice(answer.offset, answer.offset + PIECE_BYTES);
    answer = await request("PUT", `/api/uploads/${answer.upload}`, { query: { offset: answer.offset }, body: piece });
  }
}

// Calls `failed(error)` for each file that could not be read or queued.
export async function sendFiles(list, failed) {
  const waiting = [...list];
  async function work() {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      try {
        await sendOne(next);
      } catch (error) {
        failed(error, next.name);
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, work));
}

export function sendHandles(offers) {
  return request("POST", "/api/uploads/handles", { json: { handles: offers.map((offer) => offer.handle) } });
}
