"""The HTML page in a real browser: clicked, hovered and read. Without chromium these tests fail, they never skip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import Browser, Page, expect, sync_playwright

from esn_dist.analysis.bootstrap import Estimate
from esn_dist.analysis.smallest import Smallest
from esn_dist.analysis.trials import Condition
from esn_dist.report import html_data as payload
from esn_dist.report.csv_tables import Row, flat
from esn_dist.report.findings import Findings
from esn_dist.report.page import page as build_page
from esn_dist.report.pairs import PairMatrix
from esn_dist.report.searches import Search

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
def report(findings: Findings, rows: dict[str, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(build_page(findings, rows), encoding="utf-8")
    return path


class Visit:
    """One opened page, with everything it asked for and complained about."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
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
    found: list[list[str]] = page.locator(f"#{section} tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.innerText.trim()))"
    )
    return found


def test_the_page_opens_without_a_complaint_and_asks_for_nothing_but_itself(visit: Visit, report: Path) -> None:
    assert visit.page.title() == TITLE
    assert visit.complaints == []
    assert visit.requests == [report.as_uri()]


def test_the_browser_refuses_the_page_any_network(visit: Visit) -> None:
    refused = visit.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')")
    assert refused == "refused" and any("Content Security Policy" in text for text in visit.complaints)


def test_text_from_models_and_corpora_stays_text(page: Page) -> None:
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    page.get_by_text("Run started").click()
    assert HOSTILE in page.locator("#origin").inner_text()
    assert any(HOSTILE in row[1] for row in rows_of(page, "lost") if row[0] == "tiny answer-9")
    assert any(HOSTILE in row[-1] for row in rows_of(page, "lost") if row[:2] == ["room", "x1"])
    assert page.title() == TITLE


def test_sections_are_reached_by_click(page: Page) -> None:
    for name in ("Effects", "Heat maps", "Dose–response", "Layers", "Utterances", "Failures", "Provenance"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_in_viewport()


def test_the_effects_table_shows_the_gap_of_the_row(page: Page, findings: Findings) -> None:
    row = next(
        r
        for r in findings.rows
        if (r.corpus, r.condition.selector, r.condition.intervention) == ("studio", "ConAct", "deactivate")
    )
    assert row.gap.point is not None and row.gap.low is not None and row.gap.point < 0
    section = page.locator("#effects h3", has_text="tiny on studio: Deactivation").locator("+ div")
    cell = section.locator("tr", has_text="Self-Cross Gap").locator("td").last.inner_text()
    assert cell.startswith(f"−{abs(row.gap.point):.1f}") and f"−{abs(row.gap.low):.1f}" in cell


def test_table_2_stands_as_in_the_paper_with_its_invalid_rates(page: Page, findings: Findings) -> None:
    page.get_by_role("link", name="Agnostic", exact=True).click()
    gains, heads, *lines = rows_of(page, "agnostic")
    assert gains == ["", "α = 0.3", "α = 1", ""]
    assert heads == ["Masks", "Unmasked", "RND", "2-Pass", "RND", "2-Pass", "Invalid ≤"]
    assert [line[0] for line in lines] == ["room, tiny", "MAD", "ConAct", "RND", "studio, tiny", "MAD", "ConAct", "RND"]
    (table,) = findings.agnostic
    two_pass = table.lines[-2].values[table.columns[1]]
    assert not isinstance(two_pass, str) and two_pass.point is not None
    assert lines[-2][3].startswith(f"{two_pass.point:.1f}") and lines[-1][2] == "–"


def test_hovering_a_heat_map_shows_the_values_of_its_entry(page: Page, findings: Findings) -> None:
    page.locator("#heat").get_by_label("Model and corpus").select_option("tiny on studio")
    page.locator("#heat").get_by_label("Selector").select_option("ConAct")
    assert page.locator("#maps figure").count() == 3 + 2  # deactivation and two gains, each of which has a 2-Pass
    cell = page.locator("#maps figure", has_text="Deactivation, ConAct").locator("td.own").first
    cell.hover()
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    frame = findings.frames["tiny", "studio"]
    at = (frame["selector"] == "ConAct") & (frame["alpha"] == -1.0)
    one = frame.isel(condition=int(np.flatnonzero(at.values)[0])).sel(source="anger", evaluation="anger")
    lines = tip.inner_text().splitlines()
    assert lines[:2] == ["anger → anger", f"−{abs(float(one['change'])):.2f} points"]
    verdict = next(
        v for v in findings.verdicts
        if (v.corpus, v.condition.selector, v.condition.alpha) == ("studio", "ConAct", -1.0)
        and (v.source, v.evaluation) == ("anger", "anger")
    )  # fmt: skip
    assert lines[3] == f"{verdict.lost} lost, {verdict.gained} gained"
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()


def test_the_keyboard_reaches_the_values_too(page: Page) -> None:
    page.locator("#maps td").first.focus()
    expect(page.locator("#tip")).to_be_visible()


def test_dose_response_draws_gains_through_zero_and_names_the_values(page: Page, findings: Findings) -> None:
    figure = page.locator("#curves figure", has_text="gain, ConAct, r = 10 %, masks from room").first
    ticks = figure.locator("svg text").all_text_contents()
    assert {"−1", "0", "0.3", "1", "gain α"} <= set(ticks)
    figure.locator("circle").first.hover()
    row = next(
        r
        for r in findings.rows
        if r.corpus == r.condition.source_corpus == "room"
        and (r.condition.selector, r.condition.intervention) == ("ConAct", "deactivate")
    )
    assert row.self_effect.point is not None
    assert page.locator("#tip").inner_text().startswith(f"self at -1\n−{abs(row.self_effect.point):.2f} [")


def test_layers_show_the_neurons_of_the_mask(page: Page, findings: Findings) -> None:
    page.locator("#layer").get_by_label("Model and masks").select_option("tiny, masks from studio")
    shown = page.locator("#layers figure", has_text="ConAct").locator("tbody tr").first.locator("td").all_inner_texts()
    neurons = findings.layers["tiny"]
    at = list(neurons["mask"].values).index("ConAct-studio-anger")
    assert [int(text) for text in shown] == neurons[at].values.tolist()


def test_one_clip_shows_what_the_model_said_under_every_mask(page: Page, findings: Findings) -> None:
    section = page.locator("#clips-section")
    section.get_by_label("Model and corpus").select_option("tiny on studio")
    section.get_by_label("Id or speaker").fill("e01")
    assert page.locator("#clips option").count() == 1
    rows = {(row[0], row[1]): row for row in rows_of(page, "clip") if row}
    asked = (findings.answers["tiny", "studio"]["intervention"] != "two-pass").sum()  # 2-Pass said nothing of its own
    assert len(rows) == 1 + int(asked)  # and the head
    said = rows["Deactivation, RND, r = 10 %", "seed 0"]
    assert said[2] == "no option named" and said[5].startswith(HOSTILE)
    answers = findings.answers["tiny", "studio"].sel(utterance="e01")
    code = int(answers["answer"].sel(cell="base"))
    assert rows["unintervened", ""][2] == str(answers["emotion"].values[code])


def test_clips_are_chosen_by_label_by_change_and_from_the_list(page: Page) -> None:
    section = page.locator("#clips-section")
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
    page.locator("#clips-section").get_by_label("Id or speaker").fill("e00")
    rows = [row for row in rows_of(page, "clip") if row and row[0] != "Cell"]
    assert {(row[2], row[3]) for row in rows} == {("unreadable", "–")}


def test_losses_stand_in_the_overview(page: Page) -> None:
    cards = page.locator(".card").all_inner_texts()
    assert "1\nfailed units" in cards and "2\nutterances set aside by the scan" in cards


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


def test_a_page_that_cannot_hold_all_answers_says_so(
    browser: Browser, findings: Findings, rows: dict[str, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "MOST_ANSWERS", 600)
    path = tmp_path / "short.html"
    path.write_text(build_page(findings, rows), encoding="utf-8")
    visit = Visit(browser, path)
    assert "tiny on room: the first 9 of 36 utterances" in visit.page.locator("#clips-section").inner_text()
    visit.context.close()


def test_the_data_hold_no_nan_and_no_tag(findings: Findings, rows: dict[str, list[Row]]) -> None:
    text = build_page(findings, rows)
    data = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    json.loads(data, parse_constant=pytest.fail)


def test_pairs_and_searches_are_sections_where_a_sweep_has_them(
    browser: Browser, findings: Findings, rows: dict[str, list[Row]], page: Page, tmp_path: Path
) -> None:
    assert page.get_by_role("link", name="Pairs").count() == page.get_by_role("link", name="Smallest r").count() == 0
    names = ["anger", "joy"]
    own = np.full((2, 2, 3), np.nan)
    own[0, 1] = own[1, 0] = (-12.5, -20.0, -3.0)
    dims = ("first", "second", "bound")
    coords = {"first": names, "second": names, "bound": ["point", "low", "high"]}
    matrix = xr.Dataset({"own": (dims, own), "others": (dims, own / 2)}, coords=coords)
    condition = Condition("ConAct", "co-deactivate", -1.0, 0.1, "studio", identification_size=50)
    found = Smallest(condition, {Decimal("0.05"): -3.0, Decimal("0.1"): -5.0}, Decimal("0.05"))
    with_both = replace(
        findings,
        pairs=[PairMatrix("tiny", "studio", condition, matrix)],
        searches=[Search("few", "tiny", "studio", 0.5, found, Estimate(-5.0, -9.0, -1.0))],
    )
    path = tmp_path / "beyond.html"
    path.write_text(build_page(with_both, flat(with_both)), encoding="utf-8")
    visit = Visit(browser, path)
    visit.page.get_by_role("link", name="Pairs").click()
    figure = visit.page.locator(
        "#pair-maps figure", has_text="Co-deactivation, ConAct, r = 10 %, masks from studio, 50"
    )
    figure.locator("td", has_text="−12.5").first.hover()
    expect(visit.page.locator("#tip")).to_contain_text("own emotions −12.5 [−20.0, −3.0]")
    expect(visit.page.locator("#tip")).to_contain_text("other emotions −6.3 [−10.0, −1.5]")
    said = rows_of(visit.page, "smallest")[1]
    assert said[:3] == ["few", "tiny", "studio"] and said[4:] == [
        "[−9.0, −1.0]", "50 %", "r = 5 %", "5 %: −3.0; 10 %: −5.0",
    ]  # fmt: skip
    assert visit.complaints == []
    visit.context.close()
