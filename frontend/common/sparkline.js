// A small line chart of recent values, scaled to its own height: for rates, loss and accuracy.

const WIDTH = 100;
const HEIGHT = 30;

// Draws `values` into an <svg class="sparkline">, the last at the right edge; null leaves a gap. `span` is how many
// values fill the width, `full` the value at the upper edge (by itself: the highest). `label` says in words what is to be seen.
export function drawSparkline(svg, values, label, span = values.length, full = 0) {
  const top = full || Math.max(...values.filter((value) => value !== null), 0) || 1;
  const step = WIDTH / Math.max(span - 1, 1);
  const start = WIDTH - (values.length - 1) * step;
  const runs = [];
  let run = null;
  values.forEach((value, position) => {
    if (value === null) {
      run = null;
      return;
    }
    if (!run) runs.push((run = []));
    run.push([start + position * step, HEIGHT - (value / top) * HEIGHT]);
  });
  const lines = runs.map((points) => `M${points.map((point) => point.map((part) => part.toFixed(2)).join(" ")).join("L")}`);
  const areas = runs.map((points, number) => {
    return `${lines[number]}L${points.at(-1)[0].toFixed(2)} ${HEIGHT}L${points[0][0].toFixed(2)} ${HEIGHT}Z`;
  });
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  path(svg, "area").setAttribute("d", areas.join(""));
  path(svg, "line").setAttribute("d", lines.join(""));
}

function path(svg, name) {
  const found = svg.querySelector(`path.${name}`);
  if (found) return found;
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("class", name);
  svg.append(made);
  return made;
}
