// Spanish and English from one table: { key: { es: "...", en: "..." } }; {name} in a text is replaced.

const STORED = "minka.language";

export const language = chooseLanguage();

function chooseLanguage() {
  const stored = localStorage.getItem(STORED);
  if (stored === "es" || stored === "en") return stored;
  return navigator.language.toLowerCase().startsWith("es") ? "es" : "en";
}

export function setLanguage(code) {
  localStorage.setItem(STORED, code);
  location.reload();
}

// Gives t(key, values). An unknown key shows itself, so that it is seen.
export function translator(table) {
  return (key, values = {}) => {
    const text = table[key]?.[language] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
}

// Fills elements with data-t="key" (text) and data-t-label="key" (aria-label), and sets the page's language.
export function translatePage(t, root = document) {
  document.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.setAttribute("placeholder", t(element.dataset.tPlaceholder));
  }
}
