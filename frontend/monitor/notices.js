// What has happened to this worker alone, such as damage of its disk and its repair; newest first.

import { when } from "/common/format.js";
import { html, renderRows } from "/common/html.js";

const SHOWN = 20;
const TONES = { damage: "bad", repair: "good", space: "warn" };

export function drawNotices(state) {
  document.getElementById("notices").hidden = !state.notices.length;
  renderRows(
    document.getElementById("notice-rows"),
    state.notices.slice(-SHOWN).reverse(),
    (notice) => notice.notice,
    (notice) => html`<tr>
      <td>${when(notice.time)}</td>
      <td><span class="badge" data-tone="${TONES[notice.kind] ?? ""}">${notice.kind}</span></td>
      <td class="summary">${notice.text}</td>
    </tr>`,
  );
}
