// What did the model say for this clip under this mask?
const OUTCOMES = ["not written", "answered", "no option named", "unreadable", "non-finite"];

function utterances() {
  const places = DATA.utterances.map((place) => `${place.model} on ${place.corpus}`);
  const list = element("select", { size: 14, "aria-label": "Utterances", id: "clips" });
  const detail = element("div", { id: "clip" });
  const state = { place: DATA.utterances[0], label: "every label", search: "", changed: false };
  const search = element("input", { type: "search", "aria-label": "Id or speaker" });
  const changed = element("input", { type: "checkbox", id: "changed" });
  const labels = element("span", {});
  const refresh = () => {
    const rows = state.place.ids.map((_, at) => at).filter((at) => fits(state, at));
    list.replaceChildren(...rows.map((at) => element("option", { value: at }, `${state.place.ids[at]} · ${state.place.labels[at]} · ${state.place.speakers[at]}`)));
    if (rows.length) list.selectedIndex = 0;
    detail.replaceChildren(rows.length ? clip(state.place, rows[0]) : element("p", {}, "No utterance fits."));
  };
  const enter = (name) => {
    state.place = DATA.utterances[places.indexOf(name)];
    state.label = "every label";
    labels.replaceChildren(choice("Label", [state.label, ...state.place.emotions], (value) => { state.label = value; refresh(); }));
    refresh();
  };
  search.addEventListener("input", () => { state.search = search.value.toLowerCase(); refresh(); });
  changed.addEventListener("change", () => { state.changed = changed.checked; refresh(); });
  list.addEventListener("change", () => detail.replaceChildren(clip(state.place, Number(list.value))));
  enter(places[0]);
  const short = DATA.utterances.filter((place) => place.ids.length < place.of).map((place) => `${place.model} on ${place.corpus}: the first ${place.ids.length} of ${place.of} utterances`);
  return [
    element("p", {}, "What the model answered for one clip, under every mask.", short.length ? ` This page holds ${short.join("; ")}; the store has all.` : ""),
    element("div", { class: "controls" }, choice("Model and corpus", places, enter), labels, element("label", {}, "Id or speaker", search), element("label", { class: "check" }, changed, "some mask changed the answer")),
    element("div", { class: "drill" }, list, detail),
  ];
}

function fits(state, at) {
  const place = state.place;
  if (state.label !== "every label" && place.labels[at] !== state.label) return false;
  if (!(place.ids[at] + " " + place.speakers[at]).toLowerCase().includes(state.search)) return false;
  return !state.changed || place.answer.some((of) => of[at] !== place.answer[baselineOf(place)][at]);
}

function baselineOf(place) {
  return place.cells.findIndex((cell) => cell.baseline);
}

function clip(place, at) {
  const before = place.answer[baselineOf(place)][at];
  const options = place.emotions.map((name, code) => [place.numbers[at][code], name]).sort((a, b) => a[0] - b[0]);
  const lines = place.cells.map((cell, row) => {
    const answer = place.answer[row][at];
    const outcome = place.outcome[row][at];
    const word = outcome === 1 ? place.emotions[answer] : OUTCOMES[outcome];
    const right = outcome === 1 && word === place.labels[at];
    const mark = element("span", { class: right ? null : "wrong" }, word);
    return [cell.title, cell.source, mark, right ? "right" : outcome === 1 ? "wrong" : DASH, cell.baseline || answer === before ? "" : "changed", place.texts[place.said[row][at]]];
  });
  return element("div", {},
    element("h3", {}, `${place.ids[at]}: ${place.labels[at]}, speaker ${place.speakers[at]}`),
    element("p", {}, "Options as shown: " + options.map(([number, name]) => `${number} ${name}`).join(", ")),
    table(["Cell", "Source", "Answer", "Right?", "Changed?", "What it said"], lines, 6));
}
