// What did the model answer for this clip under this mask?

function utterances(block) {
  const list = element("select", { size: 14, "aria-label": "Utterances", id: "clips" });
  const detail = element("div", { id: "clip" });
  const state = { place: block.places[0], label: "every label", search: "", changed: false };
  const search = element("input", { type: "search", "aria-label": "Id or speaker" });
  const changed = element("input", { type: "checkbox", id: "changed" });
  const labels = element("span", {});
  const show = (row) => detail.replaceChildren(clip(block, state.place, row));
  const refresh = () => {
    const rows = state.place.ids.map((_, row) => row).filter((row) => fits(state, row));
    list.replaceChildren(...rows.map((row) => element("option", { value: row }, `${state.place.ids[row]} · ${state.place.labels[row]} · ${state.place.speakers[row]}`)));
    if (rows.length) list.selectedIndex = 0;
    rows.length ? show(rows[0]) : detail.replaceChildren(element("p", {}, "No utterance fits."));
  };
  const enter = (name) => {
    state.place = block.places.find((place) => place.place === name);
    state.label = "every label";
    labels.replaceChildren(choice("Label", [state.label, ...state.place.emotions], (value) => { state.label = value; refresh(); }));
    refresh();
  };
  search.addEventListener("input", () => { state.search = search.value.toLowerCase(); refresh(); });
  changed.addEventListener("change", () => { state.changed = changed.checked; refresh(); });
  list.addEventListener("change", () => show(Number(list.value)));
  const places = block.places.map((place) => place.place);
  enter(places[0]);
  return [
    element("div", { class: "controls" }, choice("Model and corpus", places, enter), labels, element("label", {}, "Id or speaker", search), element("label", { class: "check" }, changed, "some mask changed the answer")),
    element("div", { class: "drill" }, list, detail),
  ];
}

function fits(state, row) {
  const place = state.place;
  if (state.label !== "every label" && place.labels[row] !== state.label) return false;
  if (!(place.ids[row] + " " + place.speakers[row]).toLowerCase().includes(state.search)) return false;
  return !state.changed || place.answer.some((answers) => answers[row] !== place.answer[baselineOf(place)][row]);
}

function baselineOf(place) {
  return place.cells.findIndex((cell) => cell.baseline);
}

function clip(block, place, row) {
  const before = place.answer[baselineOf(place)][row];
  const options = place.emotions.map((name, code) => [place.numbers[row][code], name]).sort((a, b) => a[0] - b[0]);
  const lines = place.cells.map((cell, number) => {
    const answer = place.answer[number][row];
    const answered = place.outcome[number][row] === block.answered;
    const word = answered ? place.emotions[answer] : block.outcomes[place.outcome[number][row]];
    const right = answered && word === place.labels[row];
    const mark = element("span", { class: right ? null : "wrong" }, word);
    return [cell.title, cell.source, mark, right ? "right" : answered ? "wrong" : DASH, cell.baseline || answer === before ? "" : "changed", place.texts[place.text[number][row]]];
  });
  return element("div", {},
    element("h3", {}, `${place.ids[row]}: ${place.labels[row]}, speaker ${place.speakers[row]}`),
    element("p", {}, "Options as shown: " + options.map(([number, name]) => `${number} ${name}`).join(", ")),
    table(["Cell", "Source", "Answer", "Right?", "Changed?", "Text of the answer"], lines, 6));
}
