// Dose–response: self, cross and gap along gain, fraction or identification size, with interval bands.
const AXIS_NAMES = { alpha: "gain α", fraction: "fraction r", identification_size: "utterances per emotion" };
const LINES = { self_effect: ["self", "--a"], cross_effect: ["cross", "--b"], gap: ["gap", "--c"] };

function curves() {
  if (!DATA.curves.length) return [element("p", {}, "No gain, fraction or identification size has two values in this sweep.")];
  const host = element("div", { class: "grid", id: "curves" });
  const places = distinct(DATA.curves.map((curve) => `${curve.model} on ${curve.corpus}`));
  const draw = (place) => host.replaceChildren(...DATA.curves.filter((curve) => `${curve.model} on ${curve.corpus}` === place).map(curveFigure));
  draw(places[0]);
  const keys = Object.values(LINES).flatMap(([name, colour]) => [element("span", { class: "key", style: `background: var(${colour})` }), name]);
  return [element("p", {}, "Points are conditions, bands 95 % bootstrap intervals. Deactivation is the gain −1; at gain 0 nothing changes.", ...keys), element("div", { class: "controls" }, choice("Model and corpus", places, draw)), host];
}

function curveFigure(curve) {
  const size = { width: 400, height: 230, left: 44, right: 24, top: 10, bottom: 36 };
  const all = Object.values(curve.lines).flat(2).filter((value) => value !== null);
  const span = nice(Math.min(0, ...all), Math.max(0, ...all));
  const xs = curve.values;
  const x = (value) => size.left + ((value - xs[0]) / (xs[xs.length - 1] - xs[0])) * (size.width - size.left - size.right);
  const y = (value) => size.top + ((span.high - value) / (span.high - span.low)) * (size.height - size.top - size.bottom);
  const picture = drawn("svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": `${curve.title} along ${AXIS_NAMES[curve.axis]}` });
  for (let tick = span.low; tick <= span.high + span.step / 2; tick += span.step) {
    picture.append(drawn("line", { x1: size.left, x2: size.width - size.right, y1: y(tick), y2: y(tick), stroke: "var(--line)", "stroke-width": Math.abs(tick) < 1e-9 ? 2 : 1 }));
    picture.append(drawn("text", { x: size.left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(+tick.toFixed(6)).replace("-", "−")));
  }
  for (const value of xs) picture.append(drawn("text", { x: x(value), y: size.height - 20, "text-anchor": "middle" }, curve.axis === "fraction" ? +(100 * value).toPrecision(4) + " %" : String(value).replace("-", "−")));
  picture.append(drawn("text", { x: size.width / 2, y: size.height - 4, "text-anchor": "middle" }, AXIS_NAMES[curve.axis]));
  for (const [name, [label, colour]] of Object.entries(LINES)) addLine(picture, curve, name, label, colour, x, y);
  return element("figure", {}, element("figcaption", {}, curve.title), picture);
}

function addLine(picture, curve, name, label, colour, x, y) {
  const points = curve.values.map((value, at) => [value, ...curve.lines[name][at]]).filter(([, point]) => point !== null);
  if (!points.length) return;
  const banded = points.filter(([, , low]) => low !== null);
  const upper = banded.map(([value, , , high]) => `${x(value)},${y(high)}`);
  const lower = banded.map(([value, , low]) => `${x(value)},${y(low)}`).reverse();
  picture.append(drawn("polygon", { points: [...upper, ...lower].join(" "), fill: `var(${colour})`, opacity: 0.15 }));
  picture.append(drawn("polyline", { points: points.map(([value, point]) => `${x(value)},${y(point)}`).join(" "), fill: "none", stroke: `var(${colour})`, "stroke-width": 2 }));
  for (const [value, point, low, high] of points) {
    const text = `${label} at ${value}\n${signed(point, 2)} [${signed(low, 2)}, ${signed(high, 2)}]`;
    picture.append(withTip(drawn("circle", { cx: x(value), cy: y(point), r: 4, fill: `var(${colour})`, tabindex: 0 }), text));
  }
}

// A scale of about five round steps that covers low to high.
function nice(low, high) {
  const raw = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
  return { low: Math.floor(low / step) * step, high: Math.ceil(high / step) * step || step, step };
}
