// A small line chart of recent values, scaled to its own height: for rates, loss and accuracy.

const WIDTH = 100;
const HEIGHT = 30;

// Draws `values` into an <svg class="sparkline">; null leaves a gap. `label` says in words what is to be seen.
export function drawSparkline(svg, values, label) {
  const numbers = values.filter((value) => value !== null);
  const top = Math.max(...numbers, 0) || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  let line = "";
  let pen = "M";
  values.forEach((value, position) => {
    if (value === null) {
      pen = "M";
      return;
    }
    line += `${pen}${(position * step).toFixed(2)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(2)}`;
    pen = "L";
  });
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  path(svg, "area").setAttribute("d", line && numbers.length === values.length ? `${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` : "");
  path(svg, "line").setAttribute("d", line);
}

function path(svg, name) {
  const found = svg.querySelector(`path.${name}`);
  if (found) return found;
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("class", name);
  svg.append(made);
  return made;
}
