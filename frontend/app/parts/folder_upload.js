// A folder of images by class becomes one file of the cluster: from handles in the window, image by image in a browser.

import { request } from "/bridge.js";
import { sendFiles, sendHandles } from "/parts/sending.js";

const IMAGE = /\.(png|jpe?g|bmp|gif|webp)$/i;

// What was dropped, as data to learn from; resolves to the names that the cluster will know, in the order of arrival.
export async function sendData(list, failed) {
  const folders = new Map();
  const plain = [];
  for (const item of list) {
    const [folder, ...rest] = item.name.split("/");
    if (!rest.length) plain.push(item);
    else if (IMAGE.test(item.name)) folders.set(folder, [...(folders.get(folder) ?? []), { file: item.file, path: rest.join("/") }]);
  }
  await sendFiles(plain, failed);
  const names = plain.map(({ name }) => name);
  for (const [folder, images] of folders) {
    await packImages(`${folder}.zip`, images);
    names.push(`${folder}.zip`);
  }
  return names;
}

export async function sendDataHandles(offers) {
  const names = [];
  for (const offer of offers) {
    if (offer.folder) await request("POST", "/api/archives/handles", { json: { handle: offer.handle } });
    else await sendHandles([offer]);
    names.push(offer.folder ? `${offer.name}.zip` : offer.name);
  }
  return names;
}

// In the order of their paths, so that equal folders give equal files.
async function packImages(name, images) {
  const { archive } = await request("POST", "/api/archives", { query: { name } });
  const sorted = [...images].sort((one, other) => (one.path < other.path ? -1 : 1));
  for (const { file, path } of sorted) await request("POST", `/api/archives/${archive}`, { query: { path }, body: file });
  await request("POST", `/api/archives/${archive}/finish`);
}
