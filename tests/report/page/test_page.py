"""`whichgoal report`: one file that says what `compare --json` says, and holds no request."""

from __future__ import annotations

import html
import json
import re
import shutil
import time
from pathlib import Path

import pytest
from faulty_storage import Faulty
from page_sweeps import simulated, small
from PIL import Image
from simulated_agents import card, write_sweep

from whichgoal.cli.main import main
from whichgoal.compare.command import compare_sweep
from whichgoal.compare.scored import read
from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.verdict import Score
from whichgoal.report.films.recorded import GAP, SIDE
from whichgoal.report.of_run import leave
from whichgoal.report.page.exchange import exchange_curve
from whichgoal.report.watch import what_to_look_at
from whichgoal.storage import tables
from whichgoal.storage.files import write_json
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J\u202e <!--<script> {{7*7}} 'x\"&"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sweep whose agents have played; its question is hostile."""
    folder = tmp_path_factory.mktemp("made")
    small(folder, HOSTILE)
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of its storage."""
    return Path(shutil.copytree(made / "runs", tmp_path / "runs"))


def written(target: object, storage: Path, out: Path) -> str:
    assert main(["report", str(target), "--storage", str(storage), "-o", str(out)]) == 0
    return out.read_text()


def record_of(page: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="record">(.*?)</script>', page)
    return json.loads(found)


def refused(capsys: pytest.CaptureFixture, *argv: object) -> str:
    assert main(["report", *map(str, argv)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    return shown.err.strip()


def test_its_numbers_are_those_of_compare(made, root, tmp_path, capsys):
    record = record_of(written("small", root, tmp_path / "a.html"))
    capsys.readouterr()
    assert main(["compare", str(root / "sweeps" / "small"), "--json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)["sweeps"]
    compared["question"] = record["compare"]["question"]  # which has no control characters there
    assert record["compare"] == compared
    assert len(record["agents"]) == 16
    for cell in compared["cells"]:
        for agent in cell["agents"]:
            shown = record["agents"][agent["trial"]]
            assert shown["verdict"] == agent["verdict"]
            assert shown["scores"]["capability"][0] == round(agent["capability"], 4)


def test_a_sweep_is_named_by_its_file_its_folder_its_name_or_an_agent(made, root, tmp_path, capsys):
    trial = sorted((root / "trials").iterdir())[0].name
    of_file, *pages = (
        written(target, root, tmp_path / "a.html")
        for target in (made / "small.yaml", root / "sweeps" / "small", "small", root, trial[:9])
    )
    assert len(set(pages)) == 1  # the same each time, byte for byte
    assert record_of(of_file)["agents"].keys() == record_of(pages[0])["agents"].keys()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Report: {(tmp_path / 'a.html').as_uri()}#agent={trial}"


def test_a_sweeps_folder_says_where_its_agents_are(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no ./runs
    (tmp_path / "small").mkdir()  # and something else of the sweep's name
    for target in (root / "sweeps" / "small", root):
        assert main(["report", str(target)]) == 0
        record = record_of((tmp_path / "report.html").read_text())
        assert record["storage"] == str(root)
        assert all(agent["films"] for agent in record["agents"].values())
    assert main(["report", "small", "--storage", str(root)]) == 0


def test_hostile_names_are_text_and_nothing_is_loaded(root, tmp_path):
    page = written("small", root, tmp_path / "a.html")
    assert "<img" not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", page)
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?https?:""", page)
    assert "default-src &#x27;none&#x27;" in page
    shown = record_of(page)["compare"]["question"]
    assert shown.startswith("</script><img src=x onerror=alert(1)>\\u001b[2J\\u202e <!--")


def test_films_are_the_recorded_episodes(root, tmp_path):
    record = record_of(written("small", root, tmp_path / "a.html"))
    for trial, agent in record["agents"].items():
        rows = tables.read(root / "trials" / trial / "episodes.parquet", tables.EPISODES)
        rows = rows.sort_by("level").to_pylist()
        films = [film for pair in agent["films"] for film in pair["films"]]
        assert len(films) == 6
        adopts = agent["verdict"].startswith("misgeneralized")
        for film, row in zip(films, rows, strict=False):
            board = record["boards"][film["board"]]
            x, y, heading = board["start"]
            poses = [(x, y, heading)]
            for digit in film["path"]:
                code = int(digit, 36)
                x, y, heading = x + code // 12 - 1, y + code // 4 % 3 - 1, (heading + code) % 4
                poses.append((x, y, heading))
            packed = [x | y << 8 | heading << 16 for x, y, heading in poses]
            assert packed == row["path"][: len(packed)]
            first = film["p"] if adopts else film["t"]
            assert 0 < first < len(packed)
            assert [list(poses[first][:2])] == board["p" if adopts else "t"]
            bits = f"{int(board['walls'], 16):0{4 * len(board['walls'])}b}"
            assert all(bits[y * board["w"] + x] == "0" for x, y, _ in poses)
        pair = [record["boards"][film["board"]] for film in agent["films"][0]["films"]]
        assert pair[0]["p"] != pair[1]["p"]  # swapped


def test_of_a_storage_at_a_url_all_is_fetched_that_films_need(root, tmp_path, monkeypatch):
    import fsspec

    fsspec.register_implementation("faulty", Faulty, clobber=True)
    monkeypatch.setenv("WHICHGOAL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "a.html"
    assert main(["report", "small", "--storage", f"faulty://{root}", "-o", str(out)]) == 0
    record = record_of(out.read_text())
    assert record["storage"] == f"faulty://{root}"
    assert all(len(agent["films"]) == 3 for agent in record["agents"].values())


def test_checkpoints_that_were_scored_are_shown_along_training(root, tmp_path):
    folder = sorted((root / "trials").iterdir())[0]
    steps = [40_000, 10_000]
    kept = [
        {"manifest": "0", "card": card("mixed", 0.1, env_steps=n).model_dump(mode="json")}
        for n in steps
    ]
    write_json(folder / "along.json", kept)
    TrialFolder(folder).finish("along", [folder / "along.json"], {})
    agents = record_of(written("small", root, tmp_path / "a.html"))["agents"]
    assert agents[folder.name]["along"] == [[n, 0.1, 0.05, 0.15, "mixed"] for n in sorted(steps)]
    assert sum(bool(agent["along"]) for agent in agents.values()) == 1


FORGED = {
    "no such goal": {"goals": ["a", "b"]},
    "too few goals": {"goals": ["end", "arrow"], "first_contact": [1]},
    "another layout": {"layout": 5},
    "no such level": {"level": 100_000},
    "a leap": {"path": [0, 9, 0]},
    "no path": {"path": []},
    "a contact that never was": {"first_contact": [2**31 - 1] * 9},
}


@pytest.mark.parametrize("name", FORGED)
def test_episodes_that_cannot_be_cost_their_films_and_no_other(root, tmp_path, name):
    hit = sorted((root / "trials").iterdir())[0]
    path = hit / "episodes.parquet"
    rows = tables.read(path, tables.EPISODES).to_pylist()
    forged = [{**row, **FORGED[name]} for row in rows]
    empty = tables.EPISODES.empty_table()
    table = empty.from_pylist(forged, schema=tables.EPISODES)
    tables.write(table, path, tables.EPISODES)
    TrialFolder(hit).finish("probe", [path], {})
    agents = record_of(written("small", root, tmp_path / "a.html"))["agents"]
    films = {trial: len(agent["films"]) for trial, agent in agents.items()}
    assert films.pop(hit.name) in (0, 3)  # where nothing tells that it is forged
    assert set(films.values()) == {3}


def test_without_the_panels_that_were_played_there_is_no_film(root, tmp_path):
    shutil.rmtree(root / "panels")
    record = record_of(written("small", root, tmp_path / "a.html"))
    assert not any(agent["films"] for agent in record["agents"].values())
    assert record["boards"] == []


def test_a_damaged_trial_costs_itself_alone(root, tmp_path, capsys):
    folder = sorted((root / "trials").iterdir())[0]
    (folder / "scorecard.json").write_text("{}")
    (sorted((root / "trials").iterdir())[1] / "episodes.parquet").write_bytes(b"no")
    record = record_of(written("small", root, tmp_path / "a.html"))
    assert len(record["agents"]) == 15
    assert folder.name in record["compare"]["missing"]
    assert any(folder.name in note for note in record["notes"])
    assert folder.name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["smal"], "'smal' is no file, and no sweep and no agent in"),
        (["smal"], "did you mean 'small'?"),
        (["small", "-o", "a.pdf"], "-o a.pdf given; allowed: a file that ends in .html"),
        (["small", "-o", "no/such/a.html"], "there is no folder no/such"),
    ],
)
def test_a_mistake_is_one_line(argv, told, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert told in refused(capsys, *argv, "--storage", root)


def test_several_sweeps_have_a_page_each_and_one_that_leads_to_them(root, tmp_path):
    other = root / "sweeps" / "other"
    shutil.copytree(root / "sweeps" / "small", other)
    plan = json.loads((other / "plan.json").read_text())
    (other / "plan.json").write_text(json.dumps({**plan, "sweep": "other"}))
    page = written(root, root, tmp_path / "a.html")
    assert re.findall(r'href="([^"]+)"', page) == ["a-other.html", "a-small.html"]
    assert "<img" not in page
    for name in ("other", "small"):
        compared = record_of((tmp_path / f"a-{name}.html").read_text())["compare"]
        assert compared["sweep"] == name
        assert html.escape(compared["answer"]) in page


def test_a_run_leaves_its_page_and_a_film_and_what_fails_is_a_line(root, tmp_path, monkeypatch):
    storage = Storage.at(str(root))
    compared = compare_sweep(read(root / "sweeps" / "small", storage)[0])
    assert leave(compared, storage) == []
    page = root / "sweeps" / "small" / "report.html"
    assert record_of(page.read_text())["compare"]["sweep"] == "small"
    report, watch = what_to_look_at(compared, storage)
    assert report == f"Report:  {page.as_uri()}"
    with Image.open(page.with_name("film.gif")) as film:
        board = record_of(page.read_text())["boards"][0]
        assert film.size == (2 * board["w"] * SIDE + GAP, board["h"] * SIDE)
        trial = watch.split()[3]
        pair = record_of(page.read_text())["agents"][trial]["films"][0]["films"]
        assert film.n_frames == 1 + max(len(one["path"]) for one in pair)

    def fails(*_: object) -> None:
        raise RuntimeError("no\nroom")

    monkeypatch.setattr("whichgoal.report.page.write.page_record", fails)
    shutil.rmtree(root / "panels")
    assert leave(compared, storage) == ["report.html is not written: no room"]
    assert not page.exists()  # which would be of other results
    assert not page.with_name("film.gif").exists()
    assert what_to_look_at(compared, storage)[0].startswith("Report:  whichgoal report small ")
    page.mkdir()  # where nothing can be written, nor anything be taken away
    assert leave(compared, storage) == ["report.html is not written: no room"]


def test_an_agent_that_trades_steps_shows_how_far_it_walks(root, tmp_path):
    folder = next(one for one in sorted((root / "trials").iterdir()) if "arrow" in goal_of(one))
    rows = tables.read(folder / "episodes.parquet", tables.EPISODES).to_pylist()
    far = [{**row, "role": "distance", "shortest": [5 + i % 3, 5, *row["shortest"][2:]]}
           for i, row in enumerate(rows)]  # fmt: skip
    table = tables.EPISODES.empty_table().from_pylist(rows + far, schema=tables.EPISODES)
    tables.write(table, folder / "episodes.parquet", tables.EPISODES)
    TrialFolder(folder).finish("probe", [folder / "episodes.parquet"], {})
    trial = TrialFolder(folder)
    traded = recorded.card(trial)
    assert exchange_curve(trial, traded) == []
    traded = traded.model_copy(update={"exchange": Score(value=1.0, low=0.5, high=1.5, n=9)})
    curve = exchange_curve(trial, traded)
    assert [extra for extra, *_ in curve] == [0, 1, 2]
    assert sum(n for *_, n in curve) == len(rows)
    assert all(hits == 0 for _, hits, _ in curve)  # it goes for the arrow


def goal_of(trial: Path) -> str:
    return json.loads((trial / "scorecard.json").read_text())["verdict"]


def test_a_sweep_without_a_scored_agent_is_one_line(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sweep(load(made / "small.yaml"), tmp_path / "runs", lambda trial: None)
    assert "no agent is scored yet" in refused(capsys, "small")


def test_agents_of_another_kind_of_verdict_are_shown_too(made, tmp_path):
    sweep = load(made / "small.yaml")
    write_sweep(sweep, tmp_path / "runs", lambda trial: card("untrained", None))
    record = record_of(written("small", tmp_path / "runs", tmp_path / "a.html"))
    assert {agent["verdict"] for agent in record["agents"].values()} == {"untrained"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_agents_are_written_soon_and_small(tmp_path):
    storage = simulated(tmp_path, 28)
    assert isinstance(storage, Storage)
    begun = time.process_time()
    written("simulated", storage.root, tmp_path / "a.html")
    assert time.process_time() - begun < 20
    assert (tmp_path / "a.html").stat().st_size < 6e6
