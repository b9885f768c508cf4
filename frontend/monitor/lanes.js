// A lane of the last entries for each worker: how far each has the log, has it committed, and has applied it.

import { count } from "/common/format.js";
import { html, render } from "/common/html.js";
import { workersOf } from "/rows.js";
import { t } from "/texts.js";

const CELLS = 48;

export function drawLanes(state) {
  const status = state.status;
  if (!status) return;
  const workers = workersOf(status);
  const last = Math.max(...workers.map((worker) => heldBy(worker, state)), 1);
  const first = Math.max(1, last - CELLS + 1);
  const numbers = Array.from({ length: last - first + 1 }, (_, place) => first + place);
  render(
    document.getElementById("lanes"),
    html`${workers.map((worker) => {
      const [held, committed, applied] = [heldBy(worker, state), worker.commit_index ?? 0, worker.applied_index ?? 0];
      const label = t("lane", { id: worker.id, held: count(held), committed: count(committed), applied: count(applied) });
      return html`<div class="lane" ${worker.reachable === false ? html`data-offline` : ""}>
        <span class="lane-name">${worker.id}</span>
        <span class="cells" role="img" aria-label="${label}" title="${label}">${numbers.map((number) => html`<i data-stage="${stage(number, held, committed, applied)}"></i>`)}</span>
        <span class="number">${count(applied)}</span>
      </div>`;
    })}<p class="note legend"><i data-stage="applied"></i>${t("entry.applied")} <i data-stage="committed"></i>${t("entry.committed")} <i data-stage="held"></i>${t("entry.open")} <i data-stage="none"></i>${t("entry.missing")}<span>${count(first)} – ${count(last)}</span></p>`,
  );
}

// The last entry that a worker has, as far as is known here: a leader knows it of its followers, each of itself.
function heldBy(worker, state) {
  const told = worker.own ? state.vitals.last_index : state.vitals.peers?.[worker.id]?.match_index;
  return Math.max(told ?? 0, worker.commit_index ?? 0, worker.applied_index ?? 0);
}

function stage(number, held, committed, applied) {
  if (number <= applied) return "applied";
  if (number <= committed) return "committed";
  return number <= held ? "held" : "none";
}
