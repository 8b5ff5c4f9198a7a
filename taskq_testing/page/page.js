"use strict";
// What every page has: its data, its parts by their ids, and a theme that is light, dark, or the browser's.

const run = JSON.parse(document.getElementById("run").textContent);
const part = (id) => document.getElementById(id);
const browserIsDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : browserIsDark.matches;
}

function changeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  document.dispatchEvent(new Event("theme"));
}

function nameTheme() {
  part("theme").textContent = isDark() ? "Light" : "Dark";
}

browserIsDark.addEventListener("change", () => document.dispatchEvent(new Event("theme")));
document.addEventListener("theme", nameTheme);
part("theme").addEventListener("click", changeTheme);
nameTheme();
