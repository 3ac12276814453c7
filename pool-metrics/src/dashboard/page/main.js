// The page's theme, and its start.
import { $, say } from "./build.js";
import { kept, local, tokenFromAddress, run } from "./link.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
let theme = kept(local, "pool-theme");

function paint() {
  if (theme) document.documentElement.dataset.theme = theme;
  const isDark = theme ? theme === "dark" : dark.matches;
  say($("theme"), isDark ? "Light theme" : "Dark theme");
}

dark.addEventListener("change", paint);
$("theme").addEventListener("click", () => {
  const isDark = theme ? theme === "dark" : dark.matches;
  theme = isDark ? "light" : "dark";
  kept(local, "pool-theme", theme);
  paint();
});

tokenFromAddress();
paint();
run();
