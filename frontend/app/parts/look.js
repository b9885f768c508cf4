// How Minka looks and speaks on this computer: told to the bridge, which keeps it, and to this page.

import { setLanguage } from "/common/words.js";
import { request } from "/bridge.js";

export const THEMES = ["", "light", "dark"];

export function theme() {
  return localStorage.getItem("minka.theme") ?? "";
}

export async function changeTheme(name) {
  localStorage.setItem("minka.theme", name);
  document.querySelector("#dark").media = { "": "(prefers-color-scheme: dark)", light: "not all", dark: "all" }[name];
  await request("PUT", "/api/settings/look", { json: { theme: name } });
}

export async function changeLanguage(code) {
  await request("PUT", "/api/settings/look", { json: { language: code } });
  setLanguage(code);
}
