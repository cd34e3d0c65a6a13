// Overview, effects, tests, published numbers, masks, answers, failures, origin: sections made of tables.

function overview() {
  const answers = DATA.utterances.reduce((sum, place) => sum + place.of * place.cells.length, 0);
  const invalid = Math.max(0, ...DATA.tables.flatMap((t) => t.invalid).filter((rate) => rate !== null));
  const missing = DATA.tables.filter((t) => !t.corpus.startsWith("all ")).flatMap((t) => t.missing).reduce((a, b) => a + b, 0);
  const card = (value, text, bad = false) => element("div", { class: bad ? "card bad" : "card" }, element("b", {}, String(value)), element("span", {}, text));
  const cards = [
    card(Object.keys(DATA.models).length, "models: " + Object.keys(DATA.models).join(", ")),
    card(Object.keys(DATA.corpora).length, "corpora: " + Object.keys(DATA.corpora).join(", ")),
    card(answers.toLocaleString("en"), "answers in finished cells"),
    card(percent(invalid), `invalid answers, at most, of a row; ${DATA.settings.invalid_is_wrong ? "counted as wrong" : "left out"}`),
    card(missing, "pairs left out, without an answer", missing > 0),
    card(DATA.failures.length, "failed units", DATA.failures.length > 0),
    card(DATA.set_aside.length, "utterances set aside by the scan"),
  ];
  const notes = DATA.notes.length ? [element("h3", {}, "Notes"), element("ul", {}, ...DATA.notes.map((note) => element("li", {}, note)))] : [];
  return [element("div", { class: "cards" }, ...cards), ...notes, ...baselines()];
}

function baselines() {
  const emotions = distinct(DATA.baselines.map((row) => row.emotion));
  const lines = distinct(DATA.baselines.map((row) => row.model + "\n" + row.corpus)).map((place) => {
    const own = DATA.baselines.filter((row) => row.model + "\n" + row.corpus === place);
    const value = (emotion) => own.find((row) => row.emotion === emotion);
    return [...place.split("\n"), ...emotions.map((emotion) => estimate(value(emotion)?.accuracy, value(emotion)?.low, value(emotion)?.high, plain)), percent(value("all")?.invalid_rate)];
  });
  return [element("h3", {}, "Accuracy of the unintervened model (%)"), table(["Model", "Corpus", ...emotions, "Invalid"], lines, 2)];
}

function estimate(point, low, high, shown = signed) {
  const interval = low === null || low === undefined ? null : element("small", {}, `[${shown(low, 1)}, ${shown(high, 1)}]`);
  return element("span", {}, shown(point ?? null, 1), interval);
}

function effects() {
  const drawn = DATA.settings.by_speaker ? "speakers" : "utterances";
  const parts = [element("p", {}, `Change of accuracy against the unintervened model, in percentage points, with 95 % intervals of ${DATA.settings.draws.toLocaleString("en")} bootstrap draws over ${drawn}. What commits to no source emotion (RND, 2-Pass, Mix, Union) has the mean over all emotions; RND also ± the seeds' standard deviation.`)];
  for (const t of DATA.tables) {
    const lines = Object.entries(t.lines).map(([name, values], line) => [name, ...values.map((value, column) => {
      const cell = estimate(...value);
      if (line === 0 && t.seeds_sd[column] !== null) cell.append(element("small", {}, "± " + plain(t.seeds_sd[column], 1)));
      return cell;
    })]);
    lines.push(["Invalid answers", ...t.invalid.map((rate) => percent(rate))]);
    const masks = t.masks ? `, masks from ${t.masks}` : "";
    parts.push(element("h3", {}, `${t.model} on ${t.corpus}${masks}${t.identified}: ${t.title}, r = ${+(100 * t.fraction).toPrecision(6)} %`), table(["", ...t.selectors], lines));
  }
  return parts;
}

// The paper's Table 2 in its layout: gains above, interventions below them; corpus, model and masks to the left.
function agnostic() {
  const parts = [element("p", {}, "Accuracy in percent. Columns RND: random masks under plain steering, as in the paper; lines RND: random masks under 2-Pass, Mix and Union themselves. Published: ConAct, r = 0.5 %, τ = 0.5, for the same model and corpus alone; † marks what is inconsistent in the paper itself.")];
  return [...parts, ...DATA.agnostic.flatMap((t) => [element("h3", {}, t.title), agnosticTable(t)])];
}

function agnosticTable(t) {
  const gains = element("tr", {}, element("th", { colspan: 2 }), ...t.gains.map((gain) => element("th", { colspan: gain.heads.length, class: "span" }, `α = ${gain.alpha}`)), element("th", {}));
  const shown = (cell) => (Array.isArray(cell) ? estimate(...cell, plain) : cell ?? DASH);
  const made = table(["Masks", "Unmasked", ...t.gains.flatMap((gain) => gain.heads), "Invalid ≤"], t.lines.map((line) => [line.masks, ...line.cells.map(shown), percent(line.invalid)]));
  made.querySelector("table").className = "dense";
  made.querySelector("thead").prepend(gains);
  const place = (line) => `${line.corpus}, ${line.model}`;
  [...made.querySelectorAll("tbody tr")].forEach((row, at) => {
    if (at && place(t.lines[at]) === place(t.lines[at - 1])) return;
    row.before(element("tr", { class: "group" }, element("th", { colspan: row.children.length }, place(t.lines[at]))));
  });
  return made;
}

function tests() {
  const parts = [element("p", {}, "Is the self–cross gap larger than chance? p: exchange of each item's answers among the source emotions' cells, two-sided. Holm and Benjamini–Hochberg correct within the family named above each table. Assignment: share of all assignments of these masks to the emotions with a gap as far from zero.")];
  for (const family of distinct(DATA.gaps.map((row) => row.family))) {
    const lines = DATA.gaps.filter((row) => row.family === family).map((row) => [
      row.title, signed(row.effect), (row.exact ? "" : "≈ ") + pValue(row.p), pValue(row.holm), pValue(row.bh), pValue(row.assignment_p), String(row.pairs),
    ]);
    parts.push(element("h3", {}, family), table(["Condition", "Gap", "p", "Holm", "BH", "Assignment", "Items"], lines));
  }
  return parts;
}

function publishedNumbers() {
  if (!DATA.published.length) return [element("p", {}, "Nothing here was measured with a model and corpus of the paper at its fraction and gain, so no number stands beside a published one. The inconsistencies found in the paper itself:"), inconsistencyList(DATA.inconsistencies)];
  const lines = DATA.published.map((row) => ["Table " + row.table, row.model, row.corpus, row.intervention, row.selector, row.metric, row.setting, estimate(row.measured, row.low, row.high, row.is_change ? signed : plain), row.printed + (row.flags ? " †" : ""), signed(row.difference, 2)]);
  const flagged = new Set(DATA.published.flatMap((row) => row.flags.split(" ")));
  return [
    element("p", {}, "For the same model and corpus alone. † marks numbers that are inconsistent in the paper itself; they stand as printed. Neither the steering gain of Table 1 nor the masks of Table 2 are printed there: 0.3 is inferred, and ConAct at 0.5 % is what is compared."),
    table(["", "Model", "Corpus", "Intervention", "Selector", "Readout", "Of", "Measured", "Published", "Difference"], lines, 7),
    inconsistencyList(DATA.inconsistencies.filter((entry) => flagged.has(entry.id))),
  ];
}

function identified(row) {
  const size = row.identification_size > 0 ? `, ${row.identification_size} utterances per emotion` : "";
  return size + (row.parts && row.parts !== DATA.all_parts ? `, ${row.parts} positions` : "");
}

function inconsistencyList(entries) {
  return element("ul", {}, ...entries.map((entry) => element("li", {}, element("b", {}, `${entry.where} (${entry.severity}): `), entry.explanation)));
}

function masks() {
  const names = { source_emotion: "emotions", selector: "selectors", source_corpus: "corpora" };
  const parts = [element("p", {}, "Jaccard overlap of masks that differ in one thing alone; expected: of two random masks of the same sizes.")];
  for (const between of distinct(DATA.overlap.map((row) => row.between))) {
    const lines = DATA.overlap.filter((row) => row.between === between).map((row) => [
      row.model, row.one, row.other,
      Object.keys(names).filter((name) => name !== between).map((name) => row[name]).filter(Boolean).join(", ") + `, r = ${+(100 * row.fraction).toPrecision(6)} %` + identified(row),
      plain(row.jaccard), plain(row.expected),
    ]);
    const shown = element("details", {}, element("summary", {}, `Between ${names[between]} (${lines.length} pairs)`), table(["Model", "One", "Other", "Of", "Jaccard", "Expected"], lines, 4));
    parts.push(shown);
  }
  if (DATA.stability.length) {
    const lines = DATA.stability.map((row) => [row.model, `${row.corpus}${identified(row)}, r = ${+(100 * row.fraction).toPrecision(6)} %`, row.selector, row.emotion, String(row.neurons), `${plain(row.jaccard)} [${plain(row.low)}, ${plain(row.high)}]`, plain(row.pairwise)]);
    parts.push(element("h3", {}, "Stability: overlap with the masks of bootstrapped identification sets"), table(["Model", "Masks from", "Selector", "Emotion", "Neurons", "Jaccard", "Between draws"], lines, 4));
  }
  const pools = DATA.pools.map((row) => [row.model, row.corpus, row.emotion, String(row.correct), String(row.used)]);
  parts.push(element("h3", {}, "Correctly answered identification utterances"), table(["Model", "Corpus", "Emotion", "Correct", "Used"], pools, 3));
  return parts;
}

function biases() {
  const lines = distinct(DATA.positions.map((row) => row.model + "\n" + row.corpus)).map((place) => {
    const own = DATA.positions.filter((row) => row.model + "\n" + row.corpus === place);
    const total = own.reduce((sum, row) => sum + row.answered, 0) || 1;
    return [...place.split("\n"), ...own.map((row) => percent(row.answered / total, 0)), pValue(own[0].p)];
  });
  const numbers = distinct(DATA.positions.map((row) => String(row.number)));
  return [element("p", {}, "How often each option number is answered by the unintervened model; options stand in random order, so equal rates are expected. p: chi-square."), table(["Model", "Corpus", ...numbers, "p"], lines, 2)];
}

function failures() {
  const parts = [];
  const add = (title, heads, lines, words) => parts.push(element("h3", {}, title), lines.length ? table(heads, lines, words) : element("p", {}, "None."));
  add("Failed units", ["Unit", "Reason"], DATA.failures.map((row) => [row.unit, row.reason]), 2);
  add("Unfinished cells, left out of everything above", ["Model", "Corpus", "Cells"], DATA.unfinished.map((row) => [row.model, row.corpus, String(row.cells)]), 2);
  parts.push(element("h3", {}, "Speakers"), element("ul", {}, ...DATA.speakers.map((line) => element("li", {}, line))));
  add("Set aside by the scan", ["Corpus", "Utterance", "Label", "Reason", "Detail"], DATA.set_aside.map((row) => [row.corpus, row.utterance, row.label, row.reason, row.detail]), 5);
  return parts;
}

function origin() {
  const facts = (of) => table(["", ""], Object.entries(of), 2);
  const blocks = (title, all) => Object.entries(all).flatMap(([name, of]) => [element("h3", {}, `${title} ${name}`), facts(of)]);
  const runs = DATA.runs.flatMap((run) => [element("details", {}, element("summary", {}, `Run started ${run.started}, ${run.ended ?? "not ended"}`), facts(run))]);
  return [...runs, ...blocks("Model", DATA.models), ...blocks("Corpus", DATA.corpora)];
}
