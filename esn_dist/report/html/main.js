// The page: its sections in order, and light or dark. A block is drawn by the function of its type.
const RENDERERS = { paragraph, bullets, cards, tables, maps, curves, utterances };

for (const { id, title, link, blocks } of DATA.sections) {
  document.querySelector("nav").append(element("a", { href: "#" + id }, link));
  const parts = blocks.flatMap((block) => RENDERERS[block.type](block));
  document.querySelector("main").append(element("section", { id, "aria-label": title }, element("h2", {}, title), ...parts));
}

const themeButton = document.getElementById("theme");
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  themeButton.textContent = name === "dark" ? "Light" : "Dark";
}
themeButton.addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
