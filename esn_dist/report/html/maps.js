// Heat maps as tables: every value can be read, hovered and reached with the keyboard.

function heatMaps() {
  const host = element("div", { class: "grid", id: "maps" });
  const places = distinct(DATA.maps.map((map) => `${map.model} on ${map.corpus}`));
  const selectors = ["all selectors", ...distinct(DATA.maps.map((map) => map.selector))];
  const chosen = { place: places[0], selector: selectors[0] };
  const draw = () => {
    const own = DATA.maps.filter((map) => `${map.model} on ${map.corpus}` === chosen.place && [selectors[0], map.selector].includes(chosen.selector));
    const limit = Math.max(1, ...own.flatMap((map) => map.change.flat()).map((value) => Math.abs(value ?? 0)));
    host.replaceChildren(...own.map((map) => heatMap(map, limit)));
  };
  const controls = element("div", { class: "controls" },
    choice("Model and corpus", places, (value) => { chosen.place = value; draw(); }),
    choice("Selector", selectors, (value) => { chosen.selector = value; draw(); }));
  draw();
  return [element("p", {}, "Rows: source emotion of the mask; columns: emotion of the utterances; values: change of accuracy in points. Outlined: the source's own emotion."), controls, host];
}

function heatMap(map, limit) {
  const head = element("tr", {}, element("th", {}), ...map.evaluations.map((name) => element("th", { scope: "col" }, name)));
  const rows = map.sources.map((source, row) => element("tr", {}, element("th", { class: "word", scope: "row" }, source),
    ...map.evaluations.map((evaluation, column) => mapCell(map, source, evaluation, row, column, limit))));
  return element("figure", {}, element("figcaption", {}, map.title), scroll(element("table", { class: "map" }, element("thead", {}, head), element("tbody", {}, ...rows))));
}

function mapCell(map, source, evaluation, row, column, limit) {
  const value = map.change[row][column];
  const test = map.tests[row][column];
  const lines = [`${source} → ${evaluation}`, `${signed(value, 2)} points`, `margin ${signed(map.margin[row][column], 3)} nats`];
  if (test) lines.push(`${test.lost} lost, ${test.gained} gained`, `McNemar p ${pValue(test.p)}, Holm ${pValue(test.holm)}`);
  const cell = element("td", { tabindex: 0, class: source.split("+").includes(evaluation) ? "own" : null, "aria-label": lines.join(", ") }, signed(value));
  cell.style.background = tint(value, limit);
  return withTip(cell, lines.join("\n"));
}

// Mixed into the surface, so that zero is the page's own colour in light and in dark.
function tint(value, limit) {
  if (value === null) return "transparent";
  const share = Math.min(1, Math.abs(value) / limit) * 70;
  return `color-mix(in oklab, var(--${value < 0 ? "down" : "up"}) ${share.toFixed(1)}%, var(--surface))`;
}

function layers() {
  const host = element("div", { id: "layers" });
  const places = distinct(DATA.layers.map((entry) => layerPlace(entry)));
  if (!places.length) return [element("p", {}, "No mask is written yet.")];
  const draw = (place) => host.replaceChildren(...DATA.layers.filter((entry) => layerPlace(entry) === place).map(layerMap));
  draw(places[0]);
  return [element("p", {}, "Neurons of each mask by layer; the shade is logarithmic."), element("div", { class: "controls" }, choice("Model and masks", places, draw)), host];
}

function layerPlace(entry) {
  return `${entry.model}, ${entry.source_corpus ? "masks from " + entry.source_corpus : "random masks"}`;
}

function layerMap(entry) {
  const most = Math.max(2, ...entry.neurons.flat());
  const count = entry.neurons[0].length;
  const head = element("tr", {}, element("th", {}), ...Array.from({ length: count }, (_, layer) => element("th", { scope: "col" }, String(layer))));
  const rows = entry.masks.map((name, row) => element("tr", {}, element("th", { class: "word", scope: "row" }, name),
    ...entry.neurons[row].map((neurons, layer) => {
      const cell = element("td", { tabindex: 0 }, String(neurons));
      const share = (75 * Math.log1p(neurons)) / Math.log1p(most);
      cell.style.background = `color-mix(in oklab, var(--count) ${share.toFixed(1)}%, var(--surface))`;
      return withTip(cell, `${name}, layer ${layer}\n${neurons} neurons`);
    })));
  const caption = `${entry.selector}, r = ${+(100 * entry.fraction).toPrecision(6)} %${identified(entry)}`;
  const map = element("table", { class: count > 12 ? "map narrow" : "map" }, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("figure", { style: "margin: 0 0 1rem" }, element("figcaption", {}, caption), scroll(map));
}
