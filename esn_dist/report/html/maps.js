// Heat maps as tables: every value can be read, hovered and reached with the keyboard.

function maps(block) {
  const host = element("div", { class: block.counts ? "column" : "grid", id: block.id });
  const draw = (shown) => {
    const limit = Math.max(1, ...shown.flatMap((map) => map.values.flat()).map((value) => Math.abs(value ?? 0)));
    host.replaceChildren(...shown.map((map) => heatMap(map, block.counts ? countShade(map) : signedShade(limit))));
  };
  if (!block.filters) {
    draw(block.maps);
    return [host];
  }
  return [mapControls(block.maps, draw), host];
}

// Choices of place and selector; draws the maps that fit, at once and after every change.
function mapControls(all, draw) {
  const places = distinct(all.map((map) => map.place));
  const every = "all selectors";
  const chosen = { place: places[0], selector: every };
  const redraw = () => draw(all.filter((map) => map.place === chosen.place && [every, map.selector].includes(chosen.selector)));
  redraw();
  return element("div", { class: "controls" },
    choice("Model and corpus", places, (value) => { chosen.place = value; redraw(); }),
    choice("Selector", [every, ...distinct(all.map((map) => map.selector))], (value) => { chosen.selector = value; redraw(); }));
}

function heatMap(map, shade) {
  const head = element("tr", {}, element("th", {}), ...map.columns.map((name) => element("th", { scope: "col" }, name)));
  const outlined = new Set(map.outlined.map(([row, column]) => `${row} ${column}`));
  const rows = map.rows.map((name, row) => element("tr", {}, element("th", { class: "word", scope: "row" }, name),
    ...map.columns.map((_, column) => mapCell(map, row, column, shade, outlined.has(`${row} ${column}`)))));
  const narrow = map.columns.length > 12 ? "map narrow" : "map";
  return element("figure", {}, element("figcaption", {}, map.title), scroll(element("table", { class: narrow }, element("thead", {}, head), element("tbody", {}, ...rows))));
}

function mapCell(map, row, column, shade, outlined) {
  const tip = map.tips[row][column];
  const cell = element("td", { tabindex: 0, class: outlined ? "own" : null, "aria-label": tip.replaceAll("\n", ", ") }, map.texts[row][column]);
  cell.style.background = shade(map.values[row][column]);
  return withTip(cell, tip);
}

// Shades are mixed into the surface, so that zero is the page's own colour in light and in dark.
function signedShade(limit) {
  return (value) => value === null ? "transparent" : mixed(value < 0 ? "down" : "up", 70 * Math.min(1, Math.abs(value) / limit));
}

function countShade(map) {
  const most = Math.max(2, ...map.values.flat());
  return (value) => mixed("count", (75 * Math.log1p(value)) / Math.log1p(most));
}

function mixed(colour, share) {
  return `color-mix(in oklab, var(--${colour}) ${share}%, var(--surface))`;
}
