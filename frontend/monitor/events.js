// What has happened, as this worker saw it: elections, membership, lost and found peers, damage and repair; newest first.

import { count, when } from "/common/format.js";
import { html, renderRows } from "/common/html.js";
import { t } from "/texts.js";

const SHOWN = 300;
const KINDS = ["election", "member", "link", "damage", "repair", "space"];
const THINGS = ["blob", "small", "entry", "segment"];
const TONES = { damage: "bad", repair: "good", space: "warn", election: "election", member: "member" };

const choice = () => document.getElementById("events-kind");

export function watchEvents(redraw) {
  const options = [["", t("allKinds")], ...KINDS.map((kind) => [kind, t(`kind.${kind}`)])];
  choice().replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  choice().addEventListener("change", redraw);
}

export function drawEvents(state) {
  const rows = state.notices.filter((notice) => !choice().value || notice.kind === choice().value);
  document.getElementById("events-count").textContent = t("inAll", { all: count(state.totals.notices) });
  document.getElementById("events-empty").hidden = rows.length > 0;
  renderRows(
    document.getElementById("event-rows"),
    rows.slice(-SHOWN).reverse(),
    (notice) => notice.notice,
    (notice) => html`<tr>
      <td class="number">${when(notice.time)}</td>
      <td><span class="badge" data-tone="${toneOf(notice)}">${KINDS.includes(notice.kind) ? t(`kind.${notice.kind}`) : notice.kind}</span></td>
      <td class="summary">${sentence(notice)}</td>
    </tr>`,
  );
}

function toneOf(notice) {
  if (["damage", "repair"].includes(notice.kind) && THINGS.includes(notice.what)) {
    return t(`said.${notice.kind}`, { what: t(`thing.${notice.what}`), id: notice.id });
  }
  if (notice.kind === "link") return notice.reached ? "good" : "bad";
  return TONES[notice.kind] ?? "";
}

// In the language of the page where the facts are told; else in the worker's own words.
function sentence(notice) {
  if (notice.kind === "election" && notice.role) {
    const leader = notice.leader ?? t("nobody");
    return t("said.election", { role: t(`role.${notice.role}`), term: count(notice.term), leader });
  }
  if (notice.kind === "member" && notice.voters) {
    const learners = notice.learners.length ? t("said.learners", { ids: notice.learners.join(", ") }) : "";
    return t("said.member", { ids: notice.voters.join(", ") }) + learners;
  }
  if (["damage", "repair"].includes(notice.kind) && THINGS.includes(notice.what)) {
    return t(`said.${notice.kind}`, { what: t(`thing.${notice.what}`), id: notice.id });
  }
  if (notice.kind === "link" && notice.peer) return t(notice.reached ? "said.found" : "said.lost", { peer: notice.peer });
  return notice.text;
}
