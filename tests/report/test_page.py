"""The HTML page in a real browser: clicked, hovered and read. Without chromium these tests fail, they never skip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import Browser, Page, expect, sync_playwright

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.smallest_fraction import SmallestFraction
from esn_dist.analysis.trials import Condition
from esn_dist.report.agnostic_tables import agnostic_tables
from esn_dist.report.document import Document
from esn_dist.report.html_page import html_data, html_page
from esn_dist.report.numbers import decimal_text
from esn_dist.report.results import Results
from esn_dist.report.searches import Search
from esn_dist.report.sections import utterances
from esn_dist.report.sections.pairs import PairMatrix, pair_matrices_section
from esn_dist.report.sections.searches import searches_section
from esn_dist.report.sections.utterances import utterance_section

HOSTILE = "</script><script>document.title='owned'</script>"
TITLE = "small – emotion-sensitive neurons"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page(document), encoding="utf-8")
    return path


class Visit:
    """One opened page, with all its requests, console messages and errors."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(path.as_uri())


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Visit]:
    opened = Visit(browser, report)
    yield opened
    opened.context.close()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def rows_of(page: Page, section: str) -> list[list[str]]:
    """Texts of all table rows of a section."""
    texts: list[list[str]] = page.locator(f"#{section} tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.innerText.trim()))"
    )
    return texts


def test_the_page_opens_without_a_message_and_requests_nothing_but_itself(visit: Visit, report: Path) -> None:
    assert visit.page.title() == TITLE
    assert visit.messages == []
    assert visit.requests == [report.as_uri()]


def test_the_browser_refuses_the_page_any_network(visit: Visit) -> None:
    refused = visit.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')")
    assert refused == "refused" and any("Content Security Policy" in text for text in visit.messages)


def test_text_from_models_and_corpora_stays_text(page: Page) -> None:
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    page.get_by_text("Run started").click()
    page.get_by_text("Every excluded utterance").click()
    assert any(HOSTILE in row[-1] for row in rows_of(page, "provenance") if row[0] == "host")
    assert any(HOSTILE in row[1] for row in rows_of(page, "failures") if row[0] == "tiny answer-9")
    assert any(HOSTILE in row[-1] for row in rows_of(page, "exclusions") if row[:2] == ["room", "x1"])
    assert page.title() == TITLE


def test_sections_are_reached_by_click(page: Page) -> None:
    for name in ("Effects", "Heat maps", "Dose–response", "Layers", "Utterances", "Failures", "Provenance"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_in_viewport()


def test_the_effects_table_shows_the_gap_of_the_row(page: Page, results: Results) -> None:
    row = next(
        r
        for r in results.rows
        if (r.corpus, r.condition.selector, r.condition.intervention) == ("studio", "ConAct", "deactivate")
    )
    assert row.gap.point is not None and row.gap.low is not None and row.gap.point < 0
    section = page.locator("#effects h3", has_text="tiny on studio, r = 10 %: Deactivation").locator("+ div")
    cell = section.locator("tr", has_text="Self-Cross Gap").locator("td").last.inner_text()
    point, low = (decimal_text(-value, 1) for value in (row.gap.point, row.gap.low))
    assert cell.startswith(f"−{point}") and f"−{low}" in cell


def test_table_2_has_the_order_of_the_paper_and_invalid_rates(page: Page, results: Results) -> None:
    page.get_by_role("link", name="Agnostic", exact=True).click()
    gains, heads, *lines = rows_of(page, "agnostic")
    assert gains == ["", "", "α = 0.3", "α = 1", ""]
    assert heads == ["Corpus", "Model", "Masks", "Unmasked", "RND", "2-Pass", "RND", "2-Pass", "Invalid ≤"]
    assert [line[:3] for line in lines] == [
        [c, "tiny", m] for c in ("room", "studio") for m in ("MAD", "ConAct", "RND")
    ]
    (table,) = agnostic_tables(results.rows, results.baselines, results.registered_models, results.emotions)
    two_pass = table.lines[-2].values[table.columns[1]]
    assert not isinstance(two_pass, str) and two_pass.point is not None
    assert lines[-2][5].startswith(decimal_text(two_pass.point, 1)) and lines[-1][4] == "–"


def test_hovering_a_heat_map_shows_the_values_of_its_entry(page: Page, results: Results) -> None:
    page.locator("#heat-maps").get_by_label("Model and corpus").select_option("tiny on studio")
    page.locator("#heat-maps").get_by_label("Selector").select_option("ConAct")
    assert page.locator("#maps figure").count() == 3 + 2  # deactivation and two gains, each of which has a 2-Pass
    cell = page.locator("#maps figure", has_text="Deactivation, ConAct").locator("td.own").first
    cell.hover()
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    frame = results.frames["tiny", "studio"]
    chosen = (frame["selector"] == "ConAct") & (frame["alpha"] == -1.0)
    entry = frame.isel(condition=int(np.flatnonzero(chosen.values)[0])).sel(source="anger", evaluation="anger")
    lines = tip.inner_text().splitlines()
    assert lines[:2] == ["anger → anger", f"−{decimal_text(abs(float(entry['change'])), 2)} points"]
    test = next(
        v for v in results.tests
        if (v.corpus, v.condition.selector, v.condition.alpha) == ("studio", "ConAct", -1.0)
        and (v.source, v.evaluation) == ("anger", "anger")
    )  # fmt: skip
    assert lines[3] == f"{test.lost} lost, {test.gained} gained"
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()


def test_the_keyboard_reaches_the_values_too(page: Page) -> None:
    page.locator("#maps td").first.focus()
    expect(page.locator("#tip")).to_be_visible()


def test_dose_response_draws_gains_through_zero_and_names_the_values(page: Page, results: Results) -> None:
    figure = page.locator("#curves figure", has_text="gain, ConAct, r = 10 %, masks from room").first
    ticks = figure.locator("svg text").all_text_contents()
    assert {"−1", "0", "0.3", "1", "gain α"} <= set(ticks)
    figure.locator("circle").first.hover()
    row = next(
        r
        for r in results.rows
        if r.corpus == r.condition.source_corpus == "room"
        and (r.condition.selector, r.condition.intervention) == ("ConAct", "deactivate")
    )
    assert row.self_effect.point is not None
    assert page.locator("#tip").inner_text().startswith(f"self at −1\n−{decimal_text(abs(row.self_effect.point), 2)} [")


def test_layers_show_the_neurons_of_the_mask(page: Page, results: Results) -> None:
    page.locator("#layers").get_by_label("Model and corpus").select_option("tiny, masks from studio")
    shown = (
        page.locator("#layer-maps figure", has_text="ConAct").locator("tbody tr").first.locator("td").all_inner_texts()
    )
    neurons = results.layers["tiny"]
    position = list(neurons["mask"].values).index("ConAct-studio-anger")
    assert [int(text) for text in shown] == neurons[position].values.tolist()


def test_one_clip_shows_the_answers_under_every_mask(page: Page, results: Results) -> None:
    section = page.locator("#utterances")
    section.get_by_label("Model and corpus").select_option("tiny on studio")
    section.get_by_label("Id or speaker").fill("e01")
    assert page.locator("#clips option").count() == 1
    rows = {(row[0], row[1]): row for row in rows_of(page, "clip") if row}
    answered = (results.answers["tiny", "studio"]["intervention"] != "two-pass").sum()  # 2-Pass has no texts
    assert len(rows) == 1 + int(answered)  # and the head
    unparsed = rows["Deactivation, RND, r = 10 %", "seed 0"]
    assert unparsed[2] == "no option named" and unparsed[5].startswith(HOSTILE)
    answers = results.answers["tiny", "studio"].sel(utterance="e01")
    code = int(answers["answer"].sel(cell="base"))
    assert rows["unintervened", ""][2] == str(answers["emotion"].values[code])


def test_clips_are_chosen_by_label_by_change_and_from_the_list(page: Page) -> None:
    section = page.locator("#utterances")
    section.get_by_label("Label").select_option("joy")
    assert page.locator("#clips option").count() == 12
    section.get_by_label("some mask changed the answer").check()
    assert 0 < page.locator("#clips option").count() <= 12
    chosen = page.locator("#clips option").last.get_attribute("value")
    page.locator("#clips").select_option(chosen)
    assert any(row[4] == "changed" for row in rows_of(page, "clip"))
    section.get_by_label("Id or speaker").fill("nobody")
    assert "No utterance fits" in page.locator("#clip").inner_text()


def test_an_unreadable_clip_is_called_so_and_never_wrong(page: Page) -> None:
    page.locator("#utterances").get_by_label("Id or speaker").fill("e00")
    rows = [row for row in rows_of(page, "clip") if row and row[0] != "Cell"]
    assert {(row[2], row[3]) for row in rows} == {("unreadable", "–")}


def test_losses_are_in_the_overview(page: Page) -> None:
    cards = page.locator(".card").all_inner_texts()
    assert "1\nfailed units" in cards and "2\nutterances excluded by the scan" in cards


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_light_and_dark_wide_and_narrow(browser: Browser, report: Path, scheme: str, width: int) -> None:
    visit = Visit(browser, report, width, scheme)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert _contrast(page) > 7
    page.get_by_role("button", name="Light" if scheme == "dark" else "Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme
    assert _contrast(page) > 7
    visit.context.close()


def _contrast(page: Page) -> float:
    """WCAG contrast of the page's text on its surface."""
    colours = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    luminance = []
    for colour in colours:
        linear = [((int(v) / 255 + 0.055) / 1.055) ** 2.4 for v in colour.removeprefix("rgb(").rstrip(")").split(",")]
        luminance.append(float(np.dot([0.2126, 0.7152, 0.0722], linear)))
    return (max(luminance) + 0.05) / (min(luminance) + 0.05)


def test_a_page_without_all_answers_notes_how_many_it_has(
    browser: Browser, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utterances, "MOST_ANSWERS", 600)
    path = tmp_path / "short.html"
    path.write_text(html_page(Document("short", (utterance_section(results),))), encoding="utf-8")
    visit = Visit(browser, path)
    assert "tiny on room: the first 9 of 36 utterances" in visit.page.locator("#utterances").inner_text()
    visit.context.close()


def test_the_data_hold_no_nan_and_no_tag(document: Document) -> None:
    text = html_page(document)
    data = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data, parse_constant=pytest.fail) == html_data(document)


def test_pairs_and_searches_are_sections_where_a_sweep_has_them(browser: Browser, page: Page, tmp_path: Path) -> None:
    assert page.get_by_role("link", name="Pairs").count() == page.get_by_role("link", name="Smallest r").count() == 0
    names = ["anger", "joy"]
    values = np.full((2, 2, 3), np.nan)
    values[0, 1] = values[1, 0] = (-12.5, -20.0, -3.0)
    dims = ("first", "second", "bound")
    coords = {"first": names, "second": names, "bound": ["point", "low", "high"]}
    matrix = xr.Dataset({"pair_emotions": (dims, values), "other_emotions": (dims, values / 2)}, coords=coords)
    condition = Condition("ConAct", "co-deactivate", -1.0, 0.1, "studio", identification_size=50)
    smallest = SmallestFraction(condition, {Decimal("0.05"): -3.0, Decimal("0.1"): -5.0}, Decimal("0.05"))
    pairs = pair_matrices_section([PairMatrix("tiny", "studio", condition, matrix)])
    search = searches_section([Search("few", "tiny", "studio", 0.5, smallest, Estimate(-5.0, -9.0, -1.0))])
    assert pairs is not None and search is not None
    path = tmp_path / "pairs.html"
    path.write_text(html_page(Document("both", (pairs, search))), encoding="utf-8")
    visit = Visit(browser, path)
    visit.page.get_by_role("link", name="Pairs").click()
    figure = visit.page.locator(
        "#pair-maps figure", has_text="Co-deactivation, ConAct, r = 10 %, masks from studio, 50"
    )
    figure.locator("td", has_text="−12.5").first.hover()
    expect(visit.page.locator("#tip")).to_contain_text("own emotions −12.5 [−20.0, −3.0]")
    expect(visit.page.locator("#tip")).to_contain_text("other emotions −6.3 [−10.0, −1.5]")
    line = rows_of(visit.page, "smallest-fractions")[1]
    assert line[:3] == ["few", "tiny", "studio"] and line[4:] == [
        "−5.0\n[−9.0, −1.0]", "50 %", "r = 5 %", "5 %: -3.0; 10 %: -5.0",
    ]  # fmt: skip
    assert visit.messages == []
    visit.context.close()
