"""Watching one episode: as pictures and as text."""

from dataclasses import replace

import numpy as np
import pytest
from by_hand import poses_of
from PIL import Image

from whichgoal.cli.main import main
from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.probe.cast import cast_scripted, find_panel
from whichgoal.divergence.probe.episode import STEPS_AFTER, Episode
from whichgoal.divergence.probe.scripted import reference
from whichgoal.envs.contract import PLACEBO
from whichgoal.envs.registry import world_named
from whichgoal.report.films.pictures import write_strip
from whichgoal.spec import BatterySpec

SMALL = ["size=7", "test_size=9"]


@pytest.fixture(scope="module")
def cast():
    made = cast_scripted("proxy", "arrow_maze", SMALL)
    return replace(made, battery=BatterySpec(episodes=16))


@pytest.fixture(scope="module")
def panel(cast):
    return find_panel(cast, "conflict")


def test_the_reference_agents_go_where_they_should_by_the_shortest_way(cast, panel):
    for name, goal in (("proxy", "arrow"), ("goal", "end")):
        for level in range(4):
            episode = Episode(cast.world, panel, level)
            list(episode.play(reference(name, cast.world, cast.design, "arrow")))
            assert episode.now.touched[goal] == episode.shortest[goal]


def test_a_played_episode_is_the_probed_one(cast, panel):
    from whichgoal.divergence.probe.rollout import rollout

    actor = reference("proxy", cast.world, cast.design, "arrow")
    probed = rollout(actor, cast.world, panel)
    for level in range(4):
        episode = Episode(cast.world, panel, level)
        poses = [m.pose for m in episode.play(actor)]
        assert [tuple(p) for p in poses_of(probed, level).tolist()][: len(poses)] == poses


def test_the_board_as_text_shows_agent_and_arrow(cast, panel):
    text = Episode(cast.world, panel, 0).text(color=False)
    assert len(text.splitlines()) == 9
    assert sum(text.count(glyph) for glyph in "▶▼◀▲") == 2  # the agent and the arrow


def test_a_gif_and_a_strip_are_written(tmp_path, capsys):
    gif, strip = tmp_path / "a.gif", tmp_path / "a.png"
    set_ = [part for setting in SMALL for part in ("--set", setting)]
    files = ["--gif", str(gif), "--strip", str(strip), "--frames", "4"]
    assert main(["play", "--reference", "proxy", *set_, *files]) == 0
    with Image.open(gif) as picture:
        assert picture.n_frames > 5
    with Image.open(strip) as picture:
        assert picture.width == 4 * picture.height + 3 * 8
    assert "touched the end" in capsys.readouterr().out


def test_a_strip_of_few_frames_shows_each_once(tmp_path):
    frames = [np.full((8, 8, 3), v, np.uint8) for v in (0, 128)]
    write_strip(frames, tmp_path / "a.png", 6)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * 8 + 8, 8)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--reference", "gaol"], "did you mean 'goal'?"),
        (["--reference", "goal", "--world", "arow_maze"], "did you mean 'arrow_maze'?"),
        (["--reference", "goal", "--panel", "confict"], "did you mean 'conflict"),
        (["--reference", "goal", "--level", "900"], "allowed: 0 to"),
        (["--reference", "goal", "--set", "sise=7"], "did you mean 'size'?"),
        (["--reference", "goal", "--set", "size"], "allowed: KEY=VALUE"),
        (["--reference", "goal", "--set", "size=8"], "size 8 is not a maze"),
        (
            ["--reference", "goal", "--set", "agreement=1", "--set", "agreement.arrow=1"],
            "--set agreement.arrow and --set agreement given",
        ),
        (["--reference", "goal", "--gif", "/no/such/a.gif"], "there is no folder"),
        (["--reference", "goal", "--gif", "a.png"], "--gif a.png given; allowed: a file that ends"),
        (["--reference", "goal", "--strip", "x.jpg"], "allowed: a file that ends in .png"),
        (["--reference", "goal", "--strip", "x"], "allowed: a file that ends in .png"),
        (["/no/such/agent"], "does not exist"),
        (["--human"], "needs a terminal"),
    ],
)
def test_a_mistake_is_told(argv, told, capsys):
    small = [] if argv[0].startswith("/") else [p for s in SMALL for p in ("--set", s)]
    assert main(["play", *small, *argv]) == 2
    assert told in capsys.readouterr().err


KEYS = world_named("keys_and_chests")


def an_episode(name: str) -> Episode:
    """A level in which keys are scarce, played to its end by a reference agent."""
    design = KEYS.Design(size=7)
    levels = KEYS.generate(design, 4, seed=0, split="test")
    episode = Episode(KEYS, panel_of(KEYS, "train", levels, design), 0)
    list(episode.play(reference(name, KEYS, design, "keys")))
    return episode


def test_an_episode_of_a_counted_goal_is_played_until_it_cannot_be_paid_any_more():
    episode = an_episode("goal")
    assert episode.now.paid == {"chests": 2, "keys": 2}
    # The agent is exact, and its episode ends soon after the last chest.
    assert episode.now.step == episode.panel.fewest[0] + STEPS_AFTER
    assert not episode.now.over
    assert "2 in all" in episode.summary()


def test_chests_and_keys_are_drawn_and_the_placebo_is_no_arrow():
    design = KEYS.Design(size=7)
    layouts = KEYS.layouts(design, 1, 0, "test")
    cells = {"chests": np.array([[1, 1]]), "keys": np.array([[5, 5]])}
    levels = KEYS.place(design, layouts, {**cells, PLACEBO: np.array([[1, 5]])})
    levels.start[:] = 3, 3, 0
    panel = panel_of(KEYS, "conflict", levels, design, proxy="keys")
    text = Episode(KEYS, panel, 0).text(color=False)
    assert [text.count(glyph) for glyph in ("■", "k", "░░", "▶", "▼")] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("name", ["corridor_coin", "legibility"])
def test_who_stands_on_what_stays_is_drawn_on_it(name):
    """MiniGrid itself draws nobody who begins on a thing."""
    world = world_named(name)
    design = next(iter(world.designs().values()))
    level = world.generate(design, 1, seed=0)
    before = world.kind.picture(world, design, level)
    proxy_or_goal = 0 if name == "corridor_coin" else 1  # a coin; the plain token
    x, y = np.argwhere(world.kind.lattice(world, level).cells_of(proxy_or_goal)[0])[0]
    level.start[0] = x, y, 0
    after = world.kind.picture(world, design, level)
    assert after.shape == before.shape
    tile = np.s_[24 * y : 24 * (y + 1), 24 * x : 24 * (x + 1)]
    alone = replace(level, board=level.board.copy())
    alone.board[0, x, y] = 1, 0, 0
    bare = world.kind.picture(world, design, alone)
    assert (after[tile] != before[tile]).any()  # the agent
    assert (after[tile] != bare[tile]).any()  # and what it stands on
