// Building blocks. Everything that comes from the data is set as text, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const DASH = "–";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  return filled(made, attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") Object.entries(value).forEach(([event, handler]) => made.addEventListener(event, handler));
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A number with its sign and a real minus, or a dash where it is undefined.
function signed(value, digits = 1) {
  if (value === null || value === undefined) return DASH;
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

function plain(value, digits = 2) {
  return value === null || value === undefined ? DASH : Number(value).toFixed(digits);
}

function pValue(p) {
  if (p === null || p === undefined) return DASH;
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

function percent(share, digits = 1) {
  return share === null || share === undefined ? DASH : (100 * share).toFixed(digits) + " %";
}

// A table of texts, of which the first `words` columns are words; cells may also be elements.
function table(heads, lines, words = 1) {
  const cell = (name, content, column) => element(name, { class: column < words ? "word " + length(content) : null }, content);
  const head = element("tr", {}, ...heads.map((text, column) => cell("th", text, column)));
  const rows = lines.map((line) => element("tr", {}, ...line.map((content, column) => cell("td", content, column))));
  return scroll(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

// Short words stay on one line, long texts get room, so that on a telephone a table scrolls before it becomes a column.
function length(content) {
  const letters = (typeof content === "string" ? content : content.textContent).length;
  return letters <= 24 ? "short" : letters <= 60 ? "medium" : "long";
}

function scroll(child) {
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" }, child);
}

// A labelled choice; `changed` is told the chosen text, at once and after every change.
function choice(label, options, changed) {
  const select = element("select", { "aria-label": label }, ...options.map((text) => element("option", { value: text }, text)));
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, label, select);
}

function distinct(values) {
  return [...new Set(values)];
}

// Text beside the pointer, or at the element that has the focus.
function withTip(target, text) {
  const tip = document.getElementById("tip");
  const show = (x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - box.height - 8)) + "px";
  };
  const hide = () => { tip.hidden = true; };
  target.addEventListener("pointerenter", (event) => show(event.clientX, event.clientY));
  target.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
  target.addEventListener("pointerleave", hide);
  target.addEventListener("focus", () => { const box = target.getBoundingClientRect(); show(box.left, box.bottom); });
  target.addEventListener("blur", hide);
  return target;
}
