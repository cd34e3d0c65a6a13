// The page: its sections in order, and light or dark.
const SECTIONS = [
  ["overview", "Overview", overview], ["effects", "Effects", effects], ...(DATA.agnostic.length ? [["agnostic", "Agnostic", agnostic]] : []), ["heat", "Heat maps", heatMaps],
  ["dose", "Dose–response", curves], ...(DATA.pairs.length ? [["pairs", "Pairs", pairs]] : []), ...(DATA.searches.length ? [["smallest", "Smallest r", searches]] : []),
  ["layer", "Layers", layers], ["tests", "Tests", tests], ["mask", "Masks", masks],
  ["paper", "Beside the paper", publishedNumbers], ["bias", "Option positions", biases], ["clips-section", "Utterances", utterances],
  ["lost", "Failures", failures], ["origin", "Provenance", origin],
];

for (const [id, title, build] of SECTIONS) {
  document.querySelector("nav").append(element("a", { href: "#" + id }, title));
  document.querySelector("main").append(element("section", { id, "aria-label": title }, element("h2", {}, title), ...build()));
}

const themeButton = document.getElementById("theme");
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  themeButton.textContent = name === "dark" ? "Light" : "Dark";
}
themeButton.addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
