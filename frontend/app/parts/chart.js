// Loss and accuracy over the rounds of a training, as two curves in one frame: loss falls on the left scale, accuracy
// rises on the right one. Plain SVG, redrawn whole: there are a few hundred points at most.

import { html } from "/common/html.js";
import { decimal, share } from "/common/format.js";
import { t } from "/words.js";

export const WIDTH = 640;
const HEIGHT = 260;
export const LEFT = 48;
export const RIGHT = 66;
export const TOP = 16;
export const BOTTOM = 30;
const POINTS = 400;

// `history`: [{ round, loss, test_accuracy | null }]; `rounds`: how many there will be.
export function trainingChart(history, rounds) {
  const rows = thin(history.filter((row) => Number.isFinite(row.loss)));
  const last = rows.at(-1);
  if (!last) return html`<div class="chart-empty">${t("chart.waiting")}</div>`;
  const lastRound = Math.max(rounds, last.round, 1);
  const topLoss = niceTop(Math.max(...rows.map((row) => row.loss)));
  const tested = rows.filter((row) => Number.isFinite(row.test_accuracy));
  const low = accuracyFloor(tested);
  const x = (round) => LEFT + (round / lastRound) * (WIDTH - LEFT - RIGHT);
  const lossY = (loss) => TOP + (1 - loss / topLoss) * (HEIGHT - TOP - BOTTOM);
  const accuracyY = (accuracy) => TOP + ((1 - accuracy) / (1 - low)) * (HEIGHT - TOP - BOTTOM);
  const lossLine = line(rows, (row) => [x(row.round), lossY(row.loss)]);
  const accuracyLine = line(tested, (row) => [x(row.round), accuracyY(row.test_accuracy)]);
  const best = tested.at(-1);
  const label = t("chart.label", { loss: decimal(last.loss), accuracy: share(best?.test_accuracy), round: last.round });
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return html`
    <div class="chart-frame"><svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
      ${steps.map((step) => {
        const y = TOP + (1 - step) * (HEIGHT - TOP - BOTTOM);
        return html`<path class="chart-grid" d="M${LEFT} ${y.toFixed(1)}H${WIDTH - RIGHT}"/>
          <text class="chart-loss" x="${LEFT - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${tick(step * topLoss)}</text>
          ${tested.length > 0 && html`<text class="chart-accuracy" x="${WIDTH - RIGHT + 8}" y="${(y + 4).toFixed(1)}">${share(low + step * (1 - low))}</text>`}`;
      })}
      <text class="chart-axis" x="${LEFT}" y="${HEIGHT - 8}">0</text>
      <text class="chart-axis" x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${lastRound}</text>
      <text class="chart-axis" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${t("models.rounds")}</text>
      <path class="chart-loss-area" d="${lossLine}L${x(last.round).toFixed(1)} ${HEIGHT - BOTTOM}L${x(rows[0].round).toFixed(1)} ${HEIGHT - BOTTOM}Z"/>
      <path class="chart-loss-line" d="${lossLine}"/>
      <path class="chart-accuracy-line" d="${accuracyLine}"/>
      <circle class="chart-loss-dot" cx="${x(last.round).toFixed(1)}" cy="${lossY(last.loss).toFixed(1)}" r="4"/>
      ${best && html`<circle class="chart-accuracy-dot" cx="${x(best.round).toFixed(1)}" cy="${accuracyY(best.test_accuracy).toFixed(1)}" r="4"/>`}
    </svg></div>
    <div class="chart-key">
      <span class="key-loss">${t("train.loss")} <b class="number">${tick(last.loss)}</b></span>
      ${best && html`<span class="key-accuracy">${t("train.accuracy")} <b class="number">${share(best.test_accuracy)}</b></span>`}
    </div>`;
}

export function line(rows, place) {
  return rows.map((row, position) => {
    const [x, y] = place(row);
    return `${position ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}

// At most POINTS rows, the last one always among them.
export function thin(rows) {
  const stride = Math.ceil(rows.length / POINTS);
  return rows.filter((_, position) => (rows.length - 1 - position) % stride === 0);
}

export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-6)));
  const step = [1, 1.5, 2, 3, 4, 5, 8, 10].find((each) => each * power >= value);
  return (step ?? 10) * power;
}

// Accuracy starts at a round tenth below the lowest value, so that the last percents are seen.
export function accuracyFloor(rows) {
  if (!rows.length) return 0;
  const lowest = Math.min(...rows.map((row) => row.test_accuracy));
  return Math.max(0, Math.min(0.9, Math.floor(lowest * 10) / 10));
}

function tick(value) {
  if (value === 0) return "0";
  return value >= 1 ? decimal(value) : value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 2 });
}
