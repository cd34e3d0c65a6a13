// Dose–response: self, cross and gap along gain, fraction or identification size, with interval bands.
const COLOURS = { self: "--a", cross: "--b", gap: "--c" };
const SIZE = { width: 400, height: 230, left: 44, right: 24, top: 10, bottom: 36 };

function curves(block) {
  const host = element("div", { class: "grid", id: "curves" });
  const places = distinct(block.curves.map((curve) => curve.place));
  const draw = (place) => host.replaceChildren(...block.curves.filter((curve) => curve.place === place).map(curveFigure));
  draw(places[0]);
  const keys = Object.entries(COLOURS).flatMap(([name, colour]) => [element("span", { class: "key", style: `background: var(${colour})` }), name]);
  return [element("p", {}, ...keys), element("div", { class: "controls" }, choice("Model and corpus", places, draw)), host];
}

function curveFigure(curve) {
  const [first, last] = [curve.values[0], curve.values[curve.values.length - 1]];
  const [low, high] = [curve.ticks[0][0], curve.ticks[curve.ticks.length - 1][0]];
  const x = (value) => SIZE.left + ((value - first) / (last - first)) * (SIZE.width - SIZE.left - SIZE.right);
  const y = (value) => SIZE.top + ((high - value) / (high - low)) * (SIZE.height - SIZE.top - SIZE.bottom);
  const picture = drawn("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": `${curve.title} along ${curve.axis}` });
  for (const [value, text] of curve.ticks) {
    picture.append(drawn("line", { x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: y(value), y2: y(value), stroke: "var(--line)", "stroke-width": value === 0 ? 2 : 1 }));
    picture.append(drawn("text", { x: SIZE.left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  curve.values.forEach((value, position) => picture.append(drawn("text", { x: x(value), y: SIZE.height - 20, "text-anchor": "middle" }, curve.value_texts[position])));
  picture.append(drawn("text", { x: SIZE.width / 2, y: SIZE.height - 4, "text-anchor": "middle" }, curve.axis));
  for (const [name, line] of Object.entries(curve.lines)) addLine(picture, curve.values, line, COLOURS[name], x, y);
  return element("figure", {}, element("figcaption", {}, curve.title), picture);
}

function addLine(picture, values, line, colour, x, y) {
  const points = values.map((value, position) => [value, line.tips[position], ...line.bounds[position]]).filter(([, , point]) => point !== null);
  if (!points.length) return;
  const banded = points.filter(([, , , low]) => low !== null);
  const upper = banded.map(([value, , , , high]) => `${x(value)},${y(high)}`);
  const lower = banded.map(([value, , , low]) => `${x(value)},${y(low)}`).reverse();
  picture.append(drawn("polygon", { points: [...upper, ...lower].join(" "), fill: `var(${colour})`, opacity: 0.15 }));
  picture.append(drawn("polyline", { points: points.map(([value, , point]) => `${x(value)},${y(point)}`).join(" "), fill: "none", stroke: `var(${colour})`, "stroke-width": 2 }));
  for (const [value, tip, point] of points) {
    picture.append(withTip(drawn("circle", { cx: x(value), cy: y(point), r: 4, fill: `var(${colour})`, tabindex: 0 }), tip));
  }
}
