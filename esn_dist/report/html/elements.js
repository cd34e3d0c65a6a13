// Building blocks. Everything that comes from the data is set as text, never as markup. No number is formatted here.
const DATA = JSON.parse(document.getElementById("data").textContent);
const DASH = "–";

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A table of heads and lines; the first `labels` columns are words. Cells are texts or elements.
function table(heads, lines, labels = 1) {
  const cell = (name, content, column) => element(name, { class: column < labels ? "word " + width(content) : null }, content);
  const head = element("tr", {}, ...heads.map((text, column) => cell("th", text, column)));
  const rows = lines.map((line) => element("tr", {}, ...line.map((content, column) => cell("td", content, column))));
  return scroll(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

// Short words stay on one line and long texts get a wide column: on a telephone a table scrolls and stays readable.
function width(content) {
  const letters = (typeof content === "string" ? content : content.textContent).length;
  return letters <= 24 ? "short" : letters <= 60 ? "medium" : "long";
}

function scroll(child) {
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" }, child);
}

// A labelled choice; `changed` is called with the chosen text after every change.
function choice(label, options, changed) {
  const select = element("select", { "aria-label": label }, ...options.map((text) => element("option", { value: text }, text)));
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, label, select);
}

function distinct(values) {
  return [...new Set(values)];
}

// A tip at the pointer, or at the element that has the focus.
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
