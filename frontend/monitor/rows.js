// Small pieces that several parts of the page show.

import { html } from "/common/html.js";
import { t } from "/texts.js";

const ROLES = new Set(["leader", "follower", "candidate", "pre-candidate", "learner"]);

// The role to show for a row of the status; "offline" for a peer that is out of reach.
export function roleOf(row) {
  if (row.reachable === false) return "offline";
  const role = String(row.role ?? "unknown").replace("_", "-");
  return ROLES.has(role) ? role : "unknown";
}

export function roleBadge(row) {
  const role = roleOf(row);
  return html`<span class="badge" data-role="${role}">${t(`role.${role}`)}</span>`;
}

// This worker first, then its peers in order of id, as the server lists them.
export function workersOf(status) {
  const { peers, ...own } = status;
  return [{ ...own, reachable: true, own: true }, ...peers];
}

export function matches(words, row) {
  return words.every((word) => row.toLowerCase().includes(word));
}

export function searchWords(input) {
  return input.value.toLowerCase().split(/\s+/).filter(Boolean);
}
