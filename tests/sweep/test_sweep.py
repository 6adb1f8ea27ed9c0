"""Sweep files: what they come to, and what is said about each mistake in one."""

import time
from pathlib import Path

import pytest

from whichgoal.models import planner
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError
from whichgoal.sweep.trials import size_of

GOOD = """\
name: arrows
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 9}
  train: {env_steps: 2_000_000}
  ppo: {lr: 1e-4}
axes:
  world.agreement.arrow: [0.9, 1.0]
  model.arch: [mlp, lstm]
seeds: 3
battery: {version: 2, episodes: 64}
"""


@pytest.fixture
def read(tmp_path: Path):
    def load_text(text: str):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return load(path)

    return load_text


@pytest.fixture
def refused(read):
    """Returns the problems of a sweep file, each without the path in front."""

    def problems(text: str) -> list[str]:
        with pytest.raises(SweepError) as caught:
            read(text)
        return [p.split("sweep.yaml:", 1)[1] for p in caught.value.problems]

    return problems


def test_a_sweep_is_the_full_grid_times_the_seeds(read):
    trials = read(GOOD).trials()
    assert len(trials) == 2 * 2 * 3
    assert len({t.id for t in trials}) == 12
    assert len({t.cell_id for t in trials}) == 4
    grid = {(t.world.design()["agreement"]["arrow"], t.model.arch, t.seed) for t in trials}
    assert grid == {(a, m, s) for a in (0.9, 1.0) for m in ("mlp", "lstm") for s in range(3)}


def test_every_cell_gets_its_first_seed_before_any_gets_its_second(read):
    assert [t.seed for t in read(GOOD).trials()] == [0] * 4 + [1] * 4 + [2] * 4


def test_numbers_are_read_as_yaml_1_2_does_and_digits_may_be_grouped(read):
    trial = read(GOOD).trials()[0]
    assert trial.train.env_steps == 2_000_000
    assert trial.ppo.lr == 1e-4


def test_the_worlds_defaults_are_part_of_the_trial(read):
    design = read(GOOD).trials()[0].world.design()
    assert design["view"] == "egocentric"
    assert design["agent_view_size"] == 7


def test_a_default_written_out_is_the_same_trial(read):
    spelled = GOOD.replace("size: 9}", "size: 9, view: egocentric}")
    assert [t.id for t in read(GOOD).trials()] == [t.id for t in read(spelled).trials()]


def test_a_whole_number_for_a_share_is_the_same_trial(read):
    whole = GOOD.replace("[0.9, 1.0]", "[0.9, 1]")
    assert [t.id for t in read(GOOD).trials()] == [t.id for t in read(whole).trials()]


def test_an_axis_overrides_base(read):
    text = GOOD.replace("size: 9}", "size: 9, agreement: {arrow: 0.1}}")
    found = {t.world.design()["agreement"]["arrow"] for t in read(text).trials()}
    assert found == {0.9, 1.0}


def test_seeds_may_be_listed(read):
    assert {t.seed for t in read(GOOD.replace("seeds: 3", "seeds: [4, 7]")).trials()} == {4, 7}


def test_choices_are_the_values_on_the_axes(read):
    sweep = read(GOOD)
    choices = sweep.choices(sweep.trials()[0])
    assert choices == {"world.agreement.arrow": 0.9, "model.arch": "mlp"}


def test_the_spacing_of_checkpoints_can_be_an_axis(read):
    sweep = read(GOOD.replace("model.arch: [mlp, lstm]", "train.spacing: [linear, log]"))
    found = {trial.train.spacing: sweep.choices(trial) for trial in sweep.trials()}
    assert found["linear"]["train.spacing"] == "linear"
    assert found["log"]["train.spacing"] == "log"


def test_sizes_are_within_five_per_cent_of_the_capacity(read):
    for trial in read(GOOD).trials():
        assert size_of(trial).parameters == pytest.approx(trial.model.capacity, rel=0.05)


MISTAKES = {
    "unknown world": ("name: arrow_maze", "name: arow_maze", "4:17: unknown world 'arow_maze'"),
    "likely world": ("name: arrow_maze", "name: arow_maze", "did you mean 'arrow_maze'?"),
    "unknown arch": ("[mlp, lstm]", "[mlp, lstn]", "9:21: unknown model.arch 'lstn'"),
    "likely arch": (
        "[mlp, lstm]",
        "[mlp, lstn]",
        "allowed: gtrxl, lstm, mlp, planner, vin; did you mean 'lstm'?",
    ),
    "unknown key of the world": ("size: 9}", "sise: 9}", "4:29: world: unknown key 'sise'"),
    "likely key": ("size: 9}", "sise: 9}", "did you mean 'size'?"),
    "unknown key of training": ("env_steps", "env_stebs", "5:11: train: unknown key 'env_stebs'"),
    "unknown section": ("  ppo:", "  pqo:", "6:3: unknown section 'pqo'"),
    "unknown section of an axis": ("model.arch", "modell.arch", "9:3: unknown section 'modell'"),
    "unknown key of an axis": ("model.arch:", "model.arhc:", "9:"),
    "unknown top key": ("battery:", "batery:", "11:1: unknown key 'batery'"),
    "unknown key of the battery": ("episodes: 64", "episods: 64", "11:23: battery: unknown key"),
    "battery of another version": ("version: 2", "version: 3", "11:20: battery.version: 3"),
    "impossible size": ("size: 9}", "size: 8}", "4:35: world.size: size 8 is not a maze"),
    "unknown goal to reward": ("size: 9}", "reward: arow}", "4:37: world.reward: 'arow' given"),
    "likely goal to reward": (
        "size: 9}",
        "reward: arow}",
        "allowed: arrow, corner, dead_end, east, end; did you mean 'arrow'?",
    ),
    "text for a number": ("size: 9}", "size: nine}", "4:35: world.size: 'nine' given"),
    "quoted number": ("2_000_000", '"2000000"', "5:22: train.env_steps: '2000000' given; allowed:"),
    "unknown spacing": (
        "{env_steps: 2_000_000}",
        "{spacing: logg}",
        "5:20: train.spacing: 'logg' given; allowed: linear, log; did you mean 'log'?",
    ),
    "broken number": ("2_000_000", "2.5", "5:22: train.env_steps: 2.5 given"),
    "yes is text": ("lr: 1e-4", "lr: yes", "6:13: ppo.lr: 'yes' given; allowed: a number"),
    "boolean for a number": ("lr: 1e-4", "lr: true", "6:13: ppo.lr: true given; allowed: a number"),
    "not a finite number": ("lr: 1e-4", "lr: .inf", "6:13: .inf given; allowed: a finite number"),
    "agreement above one": ("[0.9, 1.0]", "[0.9, 1.5]", "8:32: world.agreement.arrow: 1.5 given"),
    "agreement below zero": ("[0.9, 1.0]", "[-0.1]", "8:27: world.agreement.arrow: -0.1 given"),
    "empty axis": ("[0.9, 1.0]", "[]", "8:26: world.agreement.arrow: [] given"),
    "axis without a list": ("[0.9, 1.0]", "0.9", "8:26: world.agreement.arrow: 0.9 given"),
    "value listed twice": ("[0.9, 1.0]", "[0.9, 0.9]", "8:32: world.agreement.arrow: 0.9 is"),
    "the same trials twice": ("[0.9, 1.0]", "[1, 1.0]", "the same trials twice"),
    "section as an axis": ("model.arch:", "model:", "9:3: axis 'model' is a whole section"),
    "seeds as an axis": ("model.arch: [mlp, lstm]", "seed: [1, 2]", "seeds are replicates"),
    "no seeds": ("seeds: 3", "seeds: 0", "10:8: seeds: 0 given"),
    "seeds as text": ("seeds: 3", "seeds: no", "10:8: seeds: 'no' given"),
    "a seed twice": ("seeds: 3", "seeds: [1, 1]", "10:12: seeds: 1 is listed twice"),
    "no name": ("name: arrows\n", "", "1:1: name is missing"),
    "a name that is no file name": ("name: arrows", "name: a/b", "1:7: name: 'a/b' given"),
    "no question": ("question: Does it go for the arrow?", "question:", "2:1: question: nothing"),
    "key twice": ("seeds: 3", "seeds: 3\nseeds: 4", "11:1: key 'seeds' is given twice"),
    "key twice, nested": ("{lr: 1e-4}", "{lr: 1e-4, lr: 1}", "6:19: key 'lr' is given twice"),
    "batch does not divide": (
        "{env_steps: 2_000_000}",
        "{num_envs: 35}",
        "minibatch_size 1024 must",
    ),
    "world as a list": ("name: arrow_maze", "name: [a]", "4:17: unknown world ['a']"),
    "world axis of lists": (
        "model.arch: [mlp, lstm]",
        "world.name: [[a]]",
        "9:16: unknown world [",
    ),
    "arch as a list": ("[mlp, lstm]", "[[lstm]]", "9:16: unknown model.arch ['lstm']; allowed:"),
    "a key below a value": ("model.arch:", "world.name.x:", "9:3: world.name.x is given, but"),
    "a value above a key": (
        "size: 9}",
        "agreement: 1}",
        "8:3: world.agreement.arrow is given, but",
    ),
    "quoted threshold": (
        "episodes: 64",
        'thresholds: {trained: "0.9"}',
        "11:45: battery.thresholds.trained: '0.9' given; allowed: a number",
    ),
    "boolean for a threshold": (
        "episodes: 64",
        "thresholds: {trained: true}",
        "11:45: battery.thresholds.trained: true given; allowed: a number",
    ),
    "not YAML": ("seeds: 3", "seeds: [3", "not YAML 1.2"),
    "tab": ("  ppo:", "\tppo:", "6:1: not YAML 1.2"),
    "impossible capacity": ("[mlp, lstm]", "[mlp]\n  model.capacity: [3]", "10:20: model.capacity"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place(refused, mistake):
    old, new, told = MISTAKES[mistake]
    assert old in GOOD
    problems = refused(GOOD.replace(old, new, 1))
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_problem_is_one_line_with_line_and_column(refused, mistake):
    old, new, _ = MISTAKES[mistake]
    for problem in refused(GOOD.replace(old, new, 1)):
        assert "\n" not in problem
        line, column, _ = problem.split(":", 2)
        assert int(line) >= 1
        assert int(column) >= 1


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(refused):
    text = GOOD.replace("size: 9", "sise: 9").replace("lr: 1e-4", "lr: 7").replace("1.0]", "2.0]")
    problems = refused(text)
    assert [int(p.split(":")[0]) for p in problems] == [4, 6, 8]


def test_what_is_compared_cannot_be_tuned(refused):
    problems = refused(GOOD + "tune:\n  model.arch: {choice: [mlp]}\n")
    assert any("13:3: model.arch is in both tune and axes" in p for p in problems)


def test_an_unknown_distribution_is_told(refused):
    problems = refused(GOOD + "tune:\n  ppo.lr: {log_unifrm: [1e-4, 1e-2]}\n")
    assert any("13:12" in p and "did you mean 'log_uniform'?" in p for p in problems)


def test_an_alias_that_contains_itself_is_told(refused):
    assert any("contains itself" in p for p in refused("name: &x [*x]\n"))


@pytest.mark.parametrize("text", ["", "- a\n", "3\n", "just text\n"])
def test_a_file_without_keys_is_told(refused, text):
    assert "a sweep file holds keys" in refused(text)[0]


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SweepError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")


def test_workers_that_are_both_wrong_are_both_told(refused):
    told = refused(GOOD + "resources: {env_runners: 3, learners: 5}\n")
    assert [problem.split(" given")[0] for problem in told] == [
        "12:26: resources.env_runners: 3",
        "12:39: resources.learners: 5",
    ]


@pytest.mark.parametrize("number", ["1e30", "10" * 20])
def test_a_number_that_is_far_too_large_is_told_with_the_range(refused, number):
    (told,) = refused(GOOD.replace("2_000_000", number))
    assert told.startswith("5:22: train.env_steps: 1")
    assert told.endswith(" given; allowed: a whole number from 1 to 1,000,000,000,000")
    (told,) = refused(GOOD + f"resources: {{env_runners: {number}}}\n")
    assert "allowed: " in told
    assert "pars" not in told


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (GOOD.replace("the arrow", "caf\xe9").encode("latin-1"), "2:29: byte 0xe9 is not UTF-8"),
        (GOOD.replace("it go", "\xe9t\xe9 \0").encode(), "2:20: not YAML 1.2: character U+0000"),
        (GOOD.encode("utf-16"), "1:1: byte 0xff is not UTF-8; allowed: a file that is saved as"),
    ],
)
def test_bytes_that_are_no_text_are_told_with_their_place(tmp_path, raw, complaint):
    path = tmp_path / "sweep.yaml"
    path.write_bytes(raw)
    with pytest.raises(SweepError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{complaint}")


def test_a_name_that_is_a_number_is_to_be_quoted(refused, read):
    (told,) = refused(GOOD.replace("arrows", "5"))
    assert told.startswith("1:7: name: 5 given; allowed: text of letters, digits")
    assert told.endswith('; did you mean "5"?')
    assert read(GOOD.replace("arrows", '"5"')).name == "5"


@pytest.mark.parametrize(
    "seeds", ["100000000", "100_001", f"[{', '.join(map(str, range(10_001)))}]"]
)
def test_too_many_seeds_are_refused_and_the_limit_is_named(refused, seeds):
    (told,) = refused(GOOD.replace("seeds: 3", f"seeds: {seeds}"))
    assert told.startswith("10:8: seeds: ")
    assert "allowed: the number of replicates (1 to 100,000), or a list" in told


def test_a_sweep_that_is_too_large_to_be_listed_is_refused_at_once(refused, read):
    many = ", ".join(f"{n}e-4" for n in range(1, 301))
    axes = f"  ppo.lr: [{many}]\n  ppo.entropy_coeff: [{many}]\n  ppo.vf_loss_coeff: [{many}]\n"
    begun = time.process_time()
    (told,) = refused(GOOD.replace("seeds", f"{axes}seeds"))
    assert told == "7:1: axes: a grid of 108,000,000 cells given; allowed: at most 10,000"
    rule = "  when: [{if: {model.arch: mlp}, axes: {ppo.vf_loss_coeff: [0.1, 0.2]}}]\n"
    some = "".join(axes.splitlines(keepends=True)[:2])
    (told,) = refused(GOOD.replace("seeds", f"{some}{rule}seeds"))
    assert told == "7:1: axes: a grid of at least 360,000 cells given; allowed: at most 10,000"
    (told,) = refused(GOOD.replace("seeds: 3", "seeds: 25_001"))
    assert told == (
        "10:8: seeds: 4 cells of 25,001 seeds are 100,004 trials; allowed: at most 100,000"
    )
    assert time.process_time() - begun < 20
    assert len(read(GOOD.replace("seeds: 3", "seeds: 25_000")).seeds) == 25_000


def test_every_shipped_sweep_file_parses_and_asks_a_question():
    files = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
    assert files
    for path in files:
        sweep = load(path)
        assert sweep.trials()
        assert sweep.question.endswith("?"), path
        assert sweep.name == path.stem


def test_each_architecture_has_hyper_parameters_of_its_own_which_the_file_overrides(read):
    def trials(extra):
        text = GOOD.replace("  ppo: {lr: 1e-4}\n", extra)
        text = text.replace("[mlp, lstm]", "[planner, lstm]")
        return {t.model.arch: t for t in read(text).trials()}

    usual = trials("")
    assert usual["planner"].ppo.num_epochs == planner.ARCHITECTURE.defaults["ppo.num_epochs"]
    assert usual["planner"].ppo != usual["lstm"].ppo
    given = trials("  ppo: {num_epochs: 5}\n")
    assert {trial.ppo.num_epochs for trial in given.values()} == {5}


def test_ticks_and_memory_are_axes_of_their_own(read):
    text = GOOD.replace("[mlp, lstm]", "[planner]").replace("0.9, 1.0", "1.0")
    trials = read(text.replace("seeds: 3", "  model.ticks: [1, 3, 9]\nseeds: 1")).trials()
    assert [trial.model.ticks for trial in trials] == [1, 3, 9]
    assert len({size_of(trial).parameters for trial in trials}) == 1
    assert len({size_of(trial).flops for trial in trials}) == 3


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("memory: 0", "model.memory: 0 given; allowed: a number greater than 0"),
        ("ticks: 0", "model.ticks: 0 given; allowed: a number greater than 0"),
        ("ticks: 3", "model.ticks 3: 'mlp' has no ticks; allowed with: planner, vin"),
        (
            "sizing: 1",
            "model: unknown key 'sizing'; allowed: arch, capacity, critic, layers, memory",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_where_it_stands(refused, given, complaint):
    (first, *_) = refused(GOOD.replace("axes:", f"  model: {{{given}}}\naxes:"))
    assert complaint in first
    assert first.startswith("7:")


def test_boards_that_a_policy_could_not_be_run_on_are_refused_before_anything_starts(refused, read):
    text = GOOD.replace("size: 9}", "size: 9, view: full, test_size: 13}")
    (problem,) = refused(text.replace("0.9, 1.0", "1.0"))
    assert problem.startswith("4:")
    assert "boards of size 13 at test, but 'mlp' sees the whole board through" in problem
    assert "allowed: test_size 9, view: egocentric, or model.arch lstm, gtrxl" in problem
    assert read(text.replace("mlp, lstm", "lstm, gtrxl")).trials()


def test_the_intended_goal_as_reward_is_a_choice_like_any_other(read):
    sweep = read(GOOD.replace("model.arch: [mlp, lstm]", "world.reward: [end, arrow]"))
    assert {sweep.choices(trial)["world.reward"] for trial in sweep.trials()} == {"end", "arrow"}
