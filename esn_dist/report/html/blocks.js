// Blocks of text and tables. A number is a list of texts: its value, and the texts below it in a small font.

function paragraph(block) {
  return [element("p", {}, block.text)];
}

function bullets(block) {
  return [element("ul", {}, ...block.items.map((item) => element("li", {}, item)))];
}

function cards(block) {
  const card = ([value, label, warning]) => element("div", { class: warning ? "card bad" : "card" }, element("b", {}, value), element("span", {}, label));
  return [element("div", { class: "cards" }, ...block.cards.map(card))];
}

function tables(block) {
  return block.tables.flatMap(titledTable);
}

function titledTable(data) {
  const heads = [...data.labels, ...data.groups.flatMap(([, names]) => names)];
  const shown = table(heads, data.lines.map((line) => line.map(cellContent)), data.labels.length);
  if (data.groups.some(([title]) => title)) {
    shown.querySelector("table").className = "dense";
    shown.querySelector("thead").prepend(groupHeads(data));
  }
  if (data.folded) return [element("details", {}, element("summary", {}, data.title), shown)];
  return data.title ? [element("h3", {}, data.title), shown] : [shown];
}

function groupHeads(data) {
  const labels = data.labels.length ? [element("th", { colspan: data.labels.length })] : [];
  const groups = data.groups.map(([title, names]) => element("th", { colspan: names.length, class: title ? "span" : null }, title));
  return element("tr", {}, ...labels, ...groups);
}

function cellContent(cell) {
  if (typeof cell === "string") return cell;
  const [value, ...below] = cell;
  return element("span", {}, value, ...below.filter((text) => text).map((text) => element("small", {}, text)));
}
