// Beyond the paper: do two emotions' neurons add up, and how few neurons reach a share of the effect?

function pairs() {
  const host = element("div", { class: "grid", id: "pair-maps" });
  const limit = Math.max(1, ...DATA.pairs.flatMap((map) => map.own.flat()).map((bounds) => Math.abs(bounds[0] ?? 0)));
  host.append(...DATA.pairs.map((map) => pairMap(map, limit)));
  return [element("p", {}, "Δ(both masks) − Δ(first) − Δ(second) in points, mean over the pair's two emotions. 0: they act independently; negative under co-deactivation: together they hurt more than their sum."), host];
}

function pairMap(map, limit) {
  const head = element("tr", {}, element("th", {}), ...map.emotions.map((name) => element("th", { scope: "col" }, name)));
  const rows = map.emotions.map((first, a) => element("tr", {}, element("th", { class: "word", scope: "row" }, first), ...map.emotions.map((second, b) => {
    const [own, others] = [map.own[a][b], map.others[a][b]];
    const lines = [`${first} and ${second}`, `own emotions ${bounded(own)}`, `other emotions ${bounded(others)}`];
    const cell = element("td", { tabindex: 0, "aria-label": lines.join(", ") }, signed(own[0]));
    cell.style.background = tint(own[0], limit);
    return withTip(cell, lines.join("\n"));
  })));
  return element("figure", {}, element("figcaption", {}, map.title), scroll(element("table", { class: "map" }, element("thead", {}, head), element("tbody", {}, ...rows))));
}

function bounded([point, low, high]) {
  return signed(point, 1) + (low === null ? "" : ` [${signed(low, 1)}, ${signed(high, 1)}]`);
}

function searches() {
  const key = (row) => [row.study, row.model, row.corpus, row.selector, row.intervention, row.alpha, row.source_corpus].join("\n");
  const interval = (own) => own.map((row) => (row.gap_low === null ? null : `[${signed(row.gap_low)}, ${signed(row.gap_high)}]`)).find((text) => text) ?? DASH;
  const lines = distinct(DATA.searches.map(key)).map((name) => {
    const own = DATA.searches.filter((row) => key(row) === name);
    const tried = own.map((row) => `${+(100 * row.fraction).toPrecision(6)} %: ${signed(row.gap)}`).join("; ");
    return [own[0].study, own[0].model, own[0].corpus, `${own[0].selector}, ${own[0].intervention}, masks from ${own[0].source_corpus}`, interval(own), percent(own[0].share, 0), own[0].outcome, tried];
  });
  return [element("p", {}, "By bisection over the fractions of a study: the smallest r whose self–cross gap is at least this share of the largest one's. A share of a gap whose interval holds 0 says nothing."), table(["Study", "Model", "Corpus", "Condition", "Interval of the largest", "Share", "Smallest", "Tried: gap in points"], lines, 8)];
}
