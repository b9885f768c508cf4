// The latest entries of this worker's log, newest first, and how far each has come.

import { count, size } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { t } from "/texts.js";

const SHOWN = 200;
const TONES = { applied: "good", committed: "warn", open: "none" };
const SIGNS = { applied: "✓", committed: "…", open: "·" };

export function drawLog(state) {
  const status = state.status;
  if (!status) return;
  const entries = state.log.slice(-SHOWN).reverse();
  const { log_begins: first, durable_index: durable } = state.vitals;
  const range = first ? t("logFrom", { first: count(first), durable: count(durable) }) : "";
  const shown = t("shownOf", { shown: count(entries.length), all: count(state.totals.log) });
  document.getElementById("log-count").textContent = `${shown} ${range}`;
  renderRows(
    document.getElementById("log-rows"),
    entries,
    (entry) => entry.index,
    (entry) => {
      const stage = stageOf(entry, status);
      return html`<tr>
        <td class="number">${count(entry.index)}</td>
        <td class="cell" data-tone="${TONES[stage]}">${SIGNS[stage]} ${t(`entry.${stage}`)}</td>
        <td class="number">${count(entry.term)}</td>
        <td><span class="kind">${entry.kind}</span></td>
        <td class="summary">${entry.summary}</td>
        <td class="number">${size(entry.bytes)}</td>
      </tr>`;
    },
  );
}

function stageOf(entry, status) {
  if (entry.index <= status.applied_index) return "applied";
  return entry.index <= status.commit_index ? "committed" : "open";
}
