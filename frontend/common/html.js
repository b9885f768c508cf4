// Templates that escape by default: html`<b title="${title}">${name}</b>`.
// A value is escaped as text unless it is Markup itself; lists are joined; null, undefined and false are nothing.
// Attributes must stand in double quotes.

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

class Markup {
  constructor(text) {
    this.text = text;
  }
}

function escape(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(escape).join("");
  if (value === null || value === undefined || value === false) return "";
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

export function html(strings, ...values) {
  let text = strings[0];
  values.forEach((value, position) => {
    text += escape(value) + strings[position + 1];
  });
  return new Markup(text);
}

function parse(markup) {
  const template = document.createElement("template");
  template.innerHTML = markup.text.trim();
  return template.content;
}

// Puts markup into an element, and touches nothing when it already shows just that.
const shown = new WeakMap();

export function render(element, markup) {
  if (shown.get(element) === markup.text) return;
  shown.set(element, markup.text);
  element.replaceChildren(parse(markup));
}

// Keeps the children of `container` (a tbody, a list) equal to `rows`, in order, each known by `key(row)`. Only what
// changed is drawn again, so focus, selection and scrolling survive. `template(row)` gives one element; a row that
// comes after the first drawing gets the class "fresh", unless `news` is false.
const drawn = new WeakMap();

export function renderRows(container, rows, key, template, news = true) {
  const before = drawn.get(container);
  const after = new Map();
  let place = container.firstElementChild;
  for (const row of rows) {
    const name = key(row);
    const markup = template(row);
    const known = before?.get(name);
    let element = known?.element;
    if (known?.text !== markup.text) {
      const next = parse(markup).firstElementChild;
      if (element) {
        if (place === element) place = next;
        element.replaceWith(next);
      } else if (before && news) {
        next.classList.add("fresh");
      }
      element = next;
    }
    after.set(name, { text: markup.text, element });
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  drawn.set(container, after);
}
