// The test accuracy of two trainings in one frame, or their loss where nothing was tested; each over its own rounds.

import { decimal, share } from "/common/format.js";
import { html } from "/common/html.js";
import { LEFT, RIGHT, TOP, BOTTOM, WIDTH, accuracyFloor, line, niceTop, thin } from "/parts/chart.js";
import { t } from "/words.js";

const HEIGHT = 220;

export function comparisonChart(trained) {
  const tested = trained.every((model) => model.history.some((row) => Number.isFinite(row.test_accuracy)));
  const key = tested ? "test_accuracy" : "loss";
  const series = trained.map((model) => thin(model.history.filter((row) => Number.isFinite(row[key]))));
  if (series.some((rows) => !rows.length)) return html``;
  const low = tested ? accuracyFloor(series.flat()) : 0;
  const high = tested ? 1 : niceTop(Math.max(...series.flat().map((row) => row.loss)));
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const write = tested ? share : decimal;
  const last = series.map((rows) => rows.at(-1));
  const label = t("compare.chart", { what: t(tested ? "train.accuracy" : "train.loss"), one: write(last[0][key]), other: write(last[1][key]) });
  return html`<div class="chart-frame"><svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
    ${[0, 0.25, 0.5, 0.75, 1].map((step) => {
      const value = low + step * (high - low);
      return html`<path class="chart-grid" d="M${LEFT} ${y(value).toFixed(1)}H${WIDTH - RIGHT}"/><text x="${WIDTH - RIGHT + 8}" y="${(y(value) + 4).toFixed(1)}">${write(value)}</text>`;
    })}
    ${series.map((rows, place) => {
      const x = (round) => LEFT + (round / Math.max(trained[place].rounds, rows.at(-1).round, 1)) * (WIDTH - LEFT - RIGHT);
      return html`<path class="compare-line" data-place="${place}" d="${line(rows, (row) => [x(row.round), y(row[key])])}"/>`;
    })}
    <text class="chart-axis" x="${LEFT}" y="${HEIGHT - 8}">${t("compare.begin")}</text><text class="chart-axis" x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${t("compare.end")}</text>
    <text class="chart-axis" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${t(tested ? "train.accuracy" : "train.loss")}</text></svg></div>`;
}
