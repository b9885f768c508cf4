// Which worker did how much of a training: its shards, as a part of all.

import { share } from "/common/format.js";
import { html } from "/common/html.js";
import { t } from "/words.js";

// `work`: { worker: shards }, as the leader has counted them; `workers`: the ids of all, so that idle ones are seen.
export function workShare(work, workers) {
  const names = [...new Set([...workers, ...Object.keys(work)])].sort();
  const all = Object.values(work).reduce((sum, shards) => sum + shards, 0);
  if (!all) return html``;
  return html`<section class="work" aria-label="${t("train.work")}"><h3>${t("train.work")}</h3><ul>${names.map((name) => {
    const part = (work[name] ?? 0) / all;
    return html`<li><span class="work-name" title="${name}">${name}</span><progress class="bar" max="1" value="${part.toFixed(4)}" aria-label="${name}"></progress><span class="number">${share(part)}</span></li>`;
  })}</ul></section>`;
}
