// The workers on a ring, joined as they talk: the leader with a crown, at the centre of its lines.

import { html } from "/common/html.js";

const WIDTH = 640;
const HEIGHT = 280;
const RADIUS = 34;

// `workers`: [{ id, role, word }], in an order that stays, so that nobody moves when the leader changes.
export function workerMap(workers) {
  const places = workers.map((worker, place) => ({ ...worker, ...position(place, workers.length) }));
  const leader = places.find((worker) => worker.role === "leader");
  const label = workers.map((worker) => `${worker.id}: ${worker.word}`).join(", ");
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
    ${pairs(places).map(([one, other]) => {
      const heard = leader && [one, other].includes(leader) && one.role !== "offline" && other.role !== "offline";
      return html`<path class="map-line" data-heard="${heard ? "yes" : "no"}" d="M${one.x} ${one.y}L${other.x} ${other.y}"/>`;
    })}
    ${places.map((worker) => html`<g class="map-worker" data-role="${worker.role}" transform="translate(${worker.x} ${worker.y})">
      <circle r="${RADIUS}"/>
      ${worker.role === "leader" && html`<path class="map-crown" d="m-15 -${RADIUS + 17} 7 6.500 8 -11 8 11 7 -6.500-3.500 15.500h-23z"/>`}
      <text class="map-id" y="1" text-anchor="middle">${shortened(worker.id)}</text>
      <text class="map-role" y="16" text-anchor="middle">${worker.word}</text>
    </g>`)}
  </svg>`;
}

function position(place, all) {
  if (all === 1) return { x: WIDTH / 2, y: HEIGHT / 2 };
  const angle = (place / all) * 2 * Math.PI - Math.PI / 2;
  return {
    x: Math.round(WIDTH / 2 + Math.cos(angle) * (all < 4 ? 190 : 230)),
    y: Math.round(HEIGHT / 2 + (all === 3 ? 26 : 8) + Math.sin(angle) * 82),
  };
}

function pairs(places) {
  return places.flatMap((one, place) => places.slice(place + 1).map((other) => [one, other]));
}

function shortened(id) {
  return id.length > 8 ? `${id.slice(0, 7)}…` : id;
}
