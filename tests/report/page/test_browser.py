"""The page as people see it, in a real Chromium; needs Debian's `chromium`.

With PICTURES=FOLDER what is seen is kept there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from chromium import Chromium
from page_sweeps import simulated, small
from simulated_agents import ADOPTS, card, write_sweep

from whichgoal.cli.main import main
from whichgoal.sweep.file.check import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        chromium.PROGRAM is None, reason="chromium is not installed: apt-get install chromium"
    ),
]
HOSTILE = "</script><img src=x onerror='window.hit=1'> & \"who\" adopts it?"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of few agents, who have played, and that of many, who have not."""
    folder = tmp_path_factory.mktemp("pages")
    for name, storage in (
        ("small", small(folder / "small", HOSTILE)),
        ("simulated", simulated(folder / "many", 10)),
    ):
        argv = ["report", name, "--storage", str(storage.root), "-o", str(folder / f"{name}.html")]
        assert main(argv) == 0
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    browser = Chromium(tmp_path / "profile")
    try:
        browser.listen()
        yield browser
        assert not [m for m in browser.heard if m["method"] == "Runtime.exceptionThrown"]
        logged = [m["params"]["entry"] for m in browser.heard if m["method"] == "Log.entryAdded"]
        assert not [entry for entry in logged if entry["level"] == "error"]
    finally:
        browser.close()


def show(browser: Chromium, page: Path, address: str = "", width: int = 1500) -> None:
    browser.resize(width)
    browser.open(page.as_uri() + address)
    browser.wait_for("document.getElementById('glossary') !== null")


def keep(browser: Chromium, name: str, tmp_path: Path) -> None:
    browser.screenshot(Path(os.environ.get("PICTURES", tmp_path)) / name)


def rows(browser: Chromium) -> list[list[str]]:
    return browser.run(
        "[...document.querySelectorAll('table.agents tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )


def agent_of(browser: Chromium, verdict: str) -> str:
    return browser.run(
        f"Object.entries(JSON.parse(document.getElementById('record').textContent).agents)"
        f".find(([id, agent]) => agent.verdict === '{verdict}')[0]"
    )


def click(browser: Chromium, selector: str) -> None:
    browser.run(
        f"document.querySelector(`{selector}`).dispatchEvent(new MouseEvent('click', "
        f"{{bubbles: true, cancelable: true}})), null"
    )


def test_nothing_is_asked_of_any_network_and_names_are_text(pages, browser):
    show(browser, pages / "small.html")
    asked = [m["params"]["request"]["url"] for m in browser.heard if "request" in m["params"]]
    assert asked == [(pages / "small.html").as_uri()]
    assert browser.run("window.hit === undefined")
    assert HOSTILE in browser.run("document.querySelector('h1').textContent")
    assert HOSTILE in browser.run("document.title")
    assert browser.run("document.querySelectorAll('img').length") == 0
    # Its own rules let nothing be loaded, whoever asks.
    refused = browser.run("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')")
    assert refused == "refused"
    told = [m["params"]["entry"]["text"] for m in browser.heard if m["method"] == "Log.entryAdded"]
    assert told
    assert all("Content Security Policy" in text for text in told)
    browser.heard.clear()


@pytest.mark.parametrize("width", [360, 1500])
def test_every_figure_is_drawn_and_no_page_is_wider_than_its_window(
    pages, browser, tmp_path, width
):
    show(browser, pages / "simulated.html", width=width)
    browser.wait_for("document.querySelectorAll('#agents path.agent').length > 300")
    count = "document.querySelectorAll('{}').length"
    assert browser.run(count.format("#adoption svg")) == 3 + 4  # panels, and the legend's marks
    assert browser.run(count.format("#adoption path.agent")) == 360
    assert browser.run(count.format("#adoption path.cell")) == 36
    assert browser.run(count.format("#verdicts .bars li")) == 36
    assert browser.run(count.format("#agents path.agent")) == 360
    assert browser.run(count.format("table.agents tbody tr")) == 360
    assert browser.run(count.format("table.effects tbody tr")) > 20
    assert browser.run(count.format("table.doses tbody tr")) == 12
    assert browser.run(count.format("table.confusion td.right")) > 20
    # Every mark lies within its figure, and every bar is as long as all others.
    outside = """[...document.querySelectorAll('main path')].filter(path => {
        const [own, all] = [path, path.ownerSVGElement].map(one => one.getBoundingClientRect());
        return own.left < all.left - 2 || own.right > all.right + 2 || own.top < all.top - 2
            || own.bottom > all.bottom + 2; }).length"""
    assert browser.run(outside) == 0
    bars = "[...document.querySelectorAll('.bar')].map(bar => Math.round(bar.clientWidth))"
    assert len(set(browser.run(bars))) == 1
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(wide) <= 0
    keep(browser, f"report_{width}.png", tmp_path)
    browser.run(f"location.hash = 'agent={agent_of(browser, 'mixed')}', null")
    browser.wait_for("!document.getElementById('drawer').hidden")
    assert browser.run(wide) <= 0
    inside = "(d => d.scrollWidth - d.clientWidth)(document.getElementById('drawer'))"
    assert browser.run(inside) <= 0
    keep(browser, f"report_drawer_{width}.png", tmp_path)


def test_the_table_is_sorted_and_filtered(pages, browser):
    show(browser, pages / "simulated.html")
    heads = "[...document.querySelectorAll('table.agents th')]"
    for direction in ("ascending", "descending"):
        browser.run(f"{heads}.find(h => h.innerText.startsWith('preference')).firstChild.click()")
        assert browser.run(f"{heads}.map(h => h.ariaSort).find(Boolean)") == direction
        place = browser.run(f"{heads}.findIndex(h => h.ariaSort)")
        found = [float(row[place].split()[0]) for row in rows(browser)]
        assert found == sorted(found, reverse=direction == "descending")
    click(browser, "#verdicts .bars li:nth-child(3) button")
    assert {tuple(row[1:4]) for row in rows(browser)} == {("mlp", "20000", "1.0")}
    assert browser.run("document.querySelectorAll('#agents path.agent').length") == 10
    assert "10 of 360 agents" in browser.text()
    browser.run(
        "(s => { s.value = 'intended'; s.dispatchEvent(new Event('input')); })"
        "(document.querySelector('input[type=search]'))"
    )
    assert all("intended" in row[-2] for row in rows(browser))
    browser.run(
        "[...document.querySelectorAll('button')].find(b => b.innerText === 'show all').click()"
    )
    assert len(rows(browser)) == 360


def test_adoption_can_be_counted_otherwise(pages, browser):
    show(browser, pages / "simulated.html")
    cells = browser.run("JSON.parse(document.getElementById('record').textContent).compare.cells")
    told = "[...document.querySelectorAll('#adoption path.cell title')].map(one => one.textContent)"

    def each() -> list[tuple[int, int]]:
        found = (re.search(r": (\d+) of (\d+) adopt the arrow", one) for one in browser.run(told))
        return [(int(one[1]), int(one[2])) for one in found]

    def counted() -> set[tuple[int, int]]:
        return set(each())

    def choose(value: str) -> None:
        browser.run(
            f"(s => {{ s.value = '{value}'; s.dispatchEvent(new Event('change')); }})"
            f"(document.querySelectorAll('#adoption select')[1])"
        )

    browser.wait_for("document.querySelectorAll('#adoption path.cell').length === 36")
    of_capable = [cell["adoption"]["arrow"] for cell in cells]
    assert counted() == {(share["hits"], share["n"]) for share in of_capable}
    choose("all")
    of_all = [cell["shares"][ADOPTS] for cell in cells]
    assert counted() == {(share["hits"], share["n"]) for share in of_all}
    choose("vague")
    assert sum(hits for hits, _ in counted()) > 0
    choose("matched")
    few = sum(n for _, n in each())
    assert 0 < few <= sum(share["n"] for share in of_capable)
    assert few == browser.run(
        "JSON.parse(document.getElementById('record').textContent).matched.length"
    )


INK = """
(() => {{
  const canvas = document.querySelectorAll('canvas')[{number}];
  const {{data, width}} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const board = JSON.parse(document.getElementById('record').textContent).boards[{board}];
  const side = width / board.w;
  const [x, y] = board.{mark}[0].map(v => Math.floor((v + 0.14) * side));
  return [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)];
}})()
"""
"""The color in the corner of a goal's cell: filled once it is touched."""


def test_a_click_leads_from_an_agent_to_its_film_and_back(pages, browser, tmp_path):
    show(browser, pages / "small.html")
    trial = agent_of(browser, "misgeneralized:arrow")
    click(browser, f"#adoption path[data-agent='{trial}']")
    browser.wait_for(f"location.hash === '#agent={trial}'")
    browser.wait_for("document.querySelectorAll('canvas').length === 2")
    browser.wait_for("document.querySelector('output.step').textContent !== ''")
    assert (
        browser.run(f"document.querySelector('tr[data-agent=\"{trial}\"]').className") == "chosen"
    )
    film = browser.run(
        f"JSON.parse(document.getElementById('record').textContent).agents['{trial}']"
        f".films[0].films[0]"
    )
    go = (
        "(r => {{ r.value = {step}; r.dispatchEvent(new Event('input')); }})"
        "(document.querySelector('input[type=range]'))"
    )
    ink = INK.format(number=0, board=film["board"], mark="p")
    browser.run(go.format(step=film["p"] - 1))
    before = browser.run(ink)
    browser.run(go.format(step=film["p"]))
    assert f"step {film['p']} of" in browser.text()
    assert f"level: touched the arrow after {film['p']}" in browser.text()
    assert browser.run(ink) == [213, 94, 0] != before
    keep(browser, "report_film.png", tmp_path)
    browser.run("document.querySelector('button.play').click()")
    browser.wait_for(
        f"!document.querySelector('output').textContent.startsWith('step {film['p']} ')"
    )
    browser.run("history.back()")
    browser.wait_for("document.getElementById('drawer').hidden")
    browser.run("history.forward()")
    browser.wait_for("!document.getElementById('drawer').hidden")


def test_the_ways_of_a_cells_agents_lie_on_one_board_with_t_to_the_left(pages, browser, tmp_path):
    show(browser, pages / "small.html")
    browser.wait_for("document.querySelectorAll('#paths svg.paths').length === 2")
    pictures = "[...document.querySelectorAll('#paths svg.paths')]"
    ways = f"{pictures}.map(s => s.querySelectorAll('.way').length)"
    assert browser.run(ways) == [4, 4]
    letters = (
        f"{pictures}.map(s => Object.fromEntries("
        "[...s.querySelectorAll('.letter')].map(l => [l.textContent, +l.getAttribute('x')])))"
    )
    assert all(one["T"] <= one["P"] for one in browser.run(letters))
    told = browser.run("document.querySelector('#paths svg.paths').getAttribute('aria-label')")
    assert told == "1 of 4 went to T first, 3 to P, 0 to neither"
    browser.run("document.getElementById('paths').scrollIntoView({behavior: 'instant'}), null")
    keep(browser, "report_paths.png", tmp_path)
    browser.run(
        "(s => { s.value = '3'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#paths select'))"
    )
    told = browser.run("document.querySelector('#paths svg.paths').getAttribute('aria-label')")
    assert told == "2 of 4 went to T first, 2 to P, 0 to neither"
    click(browser, "#paths .way")
    browser.wait_for("location.hash.startsWith('#agent=')")


def test_an_agent_that_trades_steps_has_a_curve(pages, browser, tmp_path):
    """Nobody trades in the made-up sweep, so one is said to."""
    page, said = tmp_path / "traded.html", "[[-2,9,9],[0,6,9],[2,3,9]]"
    text = (pages / "small.html").read_text()
    page.write_text(text.replace('"exchange":[]', f'"exchange":{said}'))
    trial = re.search(r'"agents":\{"(\w+)":\{"cell"', text)[1]
    show(browser, page, f"#agent={trial}")
    browser.wait_for("document.querySelector('svg.exchange') !== null")
    label = "document.querySelector('svg.exchange').getAttribute('aria-label')"
    assert browser.run(label) == "9 of 9 at -2 steps; 6 of 9 at 0 steps; 3 of 9 at 2 steps"


def test_an_agent_has_an_address_of_its_own(pages, browser):
    show(browser, pages / "small.html", "#agent=ffffffffffff")
    assert "No such agent" in browser.text()
    trial = agent_of(browser, "intended")
    show(browser, pages / "simulated.html")
    show(browser, pages / "small.html", f"#agent={trial}")
    browser.wait_for(f"document.querySelector('#drawer h2').innerText === 'Agent {trial}'")
    assert "Does it pursue the arrow, at the expense of the end?" in browser.text()
    assert f"whichgoal play {trial} --storage" in browser.text()


def test_all_can_be_reached_with_the_keyboard(pages, browser):
    show(browser, pages / "small.html")
    browser.wait_for("document.querySelector('svg.scatter') !== null")
    browser.run("document.querySelector('svg.scatter').focus(), null")
    browser.press("ArrowRight")
    assert "capability" in browser.run("document.getElementById('said').textContent")
    browser.press("Enter")
    browser.wait_for("location.hash.startsWith('#agent=')")
    assert browser.run("document.activeElement.id") == "drawer"
    browser.press("Escape")
    browser.wait_for("document.getElementById('drawer').hidden")
    assert browser.run("document.activeElement.classList.contains('scatter')")
    unnamed = """[...document.querySelectorAll('button, a, select, input')].filter(one =>
        !one.innerText.trim() && !one.ariaLabel && !one.labels?.length).length"""
    assert browser.run(unnamed) == 0


ODD = {
    "one agent": ("seeds: 1", lambda trial: card("undetermined", None)),
    "an outcome of all agents": (
        "answer: {axis: model.arch, outcome: capability_failure}\n"
        "axes: {model.arch: [mlp, lstm]}\nseeds: 3",
        lambda trial: card("capability_failure" if trial.seed else "untrained", 0.1),
    ),
    "axes of some cells only": (
        "axes:\n  model.arch: [mlp, planner]\n"
        "  when:\n    - {if: {model.arch: planner}, axes: {model.ticks: [1, 3]}}\nseeds: 2",
        lambda trial: None if trial.seed and trial.model.ticks == 3 else card(ADOPTS, 0.9),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_a_sweep_is_its_page_is_drawn(browser, tmp_path, name):
    text, judge = ODD[name]
    file = tmp_path / "odd.yaml"
    base = "base:\n  world: {name: arrow_maze, size: 7, test_size: 9}\n"
    file.write_text(f"name: odd\nquestion: Is it drawn?\n{base}{text}\n")
    storage = write_sweep(load(file), tmp_path / "runs", judge)
    page = tmp_path / "odd.html"
    assert main(["report", "odd", "--storage", str(storage.root), "-o", str(page)]) == 0
    show(browser, page, width=360)
    browser.wait_for("document.querySelector('#agents svg.scatter') !== null")
    for trial in browser.run("[...document.querySelectorAll('tr[data-agent] a')].map(a => a.hash)"):
        browser.run(f"location.hash = '{trial}', null")
        browser.wait_for("!document.getElementById('drawer').hidden")
    assert not re.search(r"undefined\b|NaN|\[object|null", browser.text())
    drawn = "[...document.querySelectorAll('svg *')].map(one => one.outerHTML)"
    assert not [one for one in browser.run(drawn) if re.search("NaN|undefined|Infinity", one)]


def test_it_can_be_used_soon(pages, browser):
    browser.resize(1500)
    begun = time.monotonic()
    show(browser, pages / "simulated.html")
    browser.wait_for("document.querySelectorAll('#agents path.agent').length === 360")
    assert time.monotonic() - begun < 20  # which is 2 on an idle machine
