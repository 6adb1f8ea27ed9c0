"""Every key of a file that uses the whole language, made wrong in every way, one and two at a time.

The place of each mistake is known from how it was made, so each must be said exactly once, exactly
there, and nothing else with it.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_mistakes import DOCUMENT, FULL, ONE_BY_ONE, PATHS, Mistake, changed, wrong_sections

from whichgoal.sweep.file.check import TOP_KEYS, load
from whichgoal.sweep.file.yaml_file import SweepError


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):
    """Returns what is said of a text: the line and column of each problem, and the problems."""
    path = tmp_path_factory.mktemp("told") / "sweep.yaml"

    def problems(text: str) -> tuple[list[tuple[int, int]], list[str]]:
        path.write_text(text)
        try:
            load(path)
        except SweepError as error:
            lines = [problem.split("sweep.yaml:", 1)[1] for problem in error.problems]
            places = [tuple(map(int, line.split(":")[:2])) for line in lines]
            return [(line, column) for line, column in places], lines
        return [], []

    return problems


def test_the_whole_language_is_used_in_the_file_and_nothing_is_wrong_with_it(told):
    assert told(FULL.read_text()) == ([], [])
    sweep = load(FULL)
    for part in ("tune", "explore"):
        model = type(getattr(sweep, part))
        assert set(model.model_fields) - {"space"} <= set(DOCUMENT.value[part]), part
    for part in ("battery", "resources", "limits"):
        assert set(type(getattr(sweep, part)).model_fields) == set(DOCUMENT.value[part]), part
    assert set(TOP_KEYS) == set(DOCUMENT.value)
    assert len(ONE_BY_ONE) > 600


@pytest.mark.slow
@pytest.mark.parametrize("what", sorted({mistake.what for mistake in ONE_BY_ONE}))
def test_each_mistake_alone_is_told_once_at_its_place(told, what):
    for mistake in ONE_BY_ONE:
        if mistake.what == what:
            places, lines = told(changed(mistake))
            assert places == [mistake.place], (str(mistake), lines)


def test_a_section_that_is_no_section_is_told_once(told):
    for mistake in wrong_sections():
        lines = changed(mistake).splitlines()
        inside = [
            DOCUMENT.marks[path][0] for path in PATHS if path[: len(mistake.path)] == mistake.path
        ]
        del lines[mistake.line : max(inside)]
        places, said = told("\n".join(lines) + "\n")
        assert places == [mistake.place], (str(mistake), said)


def unrelated(a: Mistake, b: Mistake) -> bool:
    """Whether neither mistake lies in the place of the other, where it could not be seen."""
    shared = min(len(a.path), len(b.path))
    return a.path[:shared] != b.path[:shared] and a.line != b.line


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(ONE_BY_ONE), st.sampled_from(ONE_BY_ONE))
def test_two_mistakes_are_told_both_and_nothing_else(told, a, b):
    if unrelated(a, b):
        places, lines = told(changed(a, b))
        assert places == sorted([a.place, b.place]), (str(a), str(b), lines)


def test_many_mistakes_are_told_all(told):
    chosen: list[Mistake] = []
    for mistake in ONE_BY_ONE[:: len(ONE_BY_ONE) // 90]:
        if all(unrelated(mistake, other) for other in chosen):
            chosen.append(mistake)
    assert len(chosen) > 10
    places, lines = told(changed(*chosen))
    assert places == sorted(mistake.place for mistake in chosen), lines


@pytest.mark.parametrize(
    ("kind", "values", "place"),
    [
        ("uniform", "[0.3, 0.1]", 29),
        ("uniform", "[0.1, 0.1]", 29),
        ("uniform", "[0.1]", 29),
        ("uniform", "[0.1, 0.2, 0.3]", 29),
        ("uniform", "[]", 29),
        ("log_uniform", "[0, 1]", 34),
        ("log_uniform", "[-1, 1]", 34),
    ],
)
def test_a_range_that_is_none_is_told_at_its_list(told, kind, values, place):
    text = FULL.read_text().replace("{uniform: [0.1, 0.3]}", f"{{{kind}: {values}}}")
    places, lines = told(text)
    assert places == [(46, place)], lines


REQUIRED = [("tune", "trials"), ("explore", "trials"), ("explore", "objectives"), ("name",)]
REQUIRED += [("answer", "axis"), ("answer", "outcome")]


@pytest.mark.parametrize("path", [*REQUIRED, ("question",), ("base", "world", "name")])
def test_a_key_that_has_to_be_there_is_missed(told, path):
    lines = FULL.read_text().splitlines()
    first = DOCUMENT.key_marks[path][0]
    last = max(DOCUMENT.marks[p][0] for p in PATHS if p[: len(path)] == path)
    del lines[first - 1 : last]
    places, said = told("\n".join(lines) + "\n")
    assert len(places) == 1, said
    assert f"{path[-1]} is missing" in said[0]


def test_a_range_that_would_also_draw_what_cannot_be_is_told(told):
    text = FULL.read_text().replace("{choice: [7, 9, 11]}", "{int_uniform: [7, 11]}")
    places, lines = told(text)
    assert places == [(58, 16)], lines
    assert "would also draw 8: size 8 is not a maze" in lines[0]
    text = FULL.read_text().replace("{int_uniform: [1, 4]}", "{uniform: [1, 4]}")
    places, lines = told(text)
    assert places == [(49, 20)], lines


def test_searched_batches_that_do_not_divide_are_told(told):
    text = FULL.read_text().replace("{choice: [512, 1024]}", "{choice: [512, 1000]}")
    places, lines = told(text)
    assert places == [(48, 40)], lines
    assert "minibatch_size 1000 must divide num_envs * rollout_len = 16384" in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("ppo.clip_param:", "world.loops:", "46:3: tune: world.loops is no nuisance"),
        ("ppo.clip_param:", "model.capacity:", "46:3: tune: model.capacity is no nuisance"),
        ("ppo.clip_param:", "model.arch:", "46:3: model.arch is in both tune and axes"),
        ("ppo.clip_param:", "ppo.entropy_coeff:", "46:3: ppo.entropy_coeff is in both tune and"),
        ("ppo.clip_param:", "train.env_steps:", "46:3: tune: train.env_steps is no nuisance"),
        ("ppo.clip_param: {uniform", "ppo.clip_param: {unifrm", "did you mean 'uniform'?"),
        ("minibatch_size: {choice", "minibatch_size: {int_uniform", "allowed: choice, for batches"),
        ("  world.loops: {un", "  ppo.lr: {un", "57:3: explore: ppo.lr is no part of a world's"),
        ("  world.loops: {un", "  world.name: {un", "57:3: explore: world.name is no part of a"),
        ("  world.loops: {un", "  world.end: {un", "57:3: world.end is in both explore and axes"),
        ("maximize", "maximise", "did you mean 'maximize'?"),
        ("preference: {near", "prefrence: {near", "did you mean 'preference'?"),
        ("time: 12h", "time: 12 parsecs", "83:9: limits.time: '12 parsecs' given; allowed: a d"),
        ("env_runners: 2", "env_runners: 3", "resources.env_runners: 3 given; allowed: divisors"),
        ("learners: 1", "learners: 64", "allowed: divisors of 32 (sequences in a train.minibatch"),
        ("0.02]", "0.02, 0.03]", "34:26: ppo.entropy_coeff has 3 values, world.end has 2"),
        ("model.ticks: [10", "model.arch: [10", "43:9: model.arch is an axis already (line 31)"),
        ("arch: [vin]", "arch: [vin, planner]", "43:9: model.ticks is an axis already (line 39)"),
        ("model.arch: planner", "model.arch: gtrxl", "37:21: if: model.arch: 'gtrxl' given; allo"),
        ("model.arch: planner", "model.ticks: 3", "37:9: if: model.ticks is no axis of all cells"),
        ("model.ticks: [1, 3]", "model.memory: [1, 3]", "model.memory 1: 'planner' has no memory"),
        ("preference_low: 0.2", "preference_low: 0.7", "preference_low 0.7 must be below"),
        ("max_seq_len: 32", "max_seq_len: 48", "20:18: train: max_seq_len 48 must divide rollou"),
        ("capacity: 20_000", "capacity: 3", "14:15: model.capacity: capacity 3: no 'lstm' net"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_where_it_stands(told, old, new, complaint):
    assert old in FULL.read_text()
    _, lines = told(FULL.read_text().replace(old, new, 1))
    assert any(complaint in line for line in lines), lines


def test_workers_must_divide_searched_batches_too(told):
    text = FULL.read_text().replace("{choice: [512, 1024]}", "{choice: [512, 1024, 32]}")
    places, lines = told(text.replace("learners: 1", "learners: 2"))
    assert places == [(80, 13)], lines
    assert "learners: 2 given; allowed: divisors of 1 (sequences in a train.mini" in lines[0]


def test_a_key_given_twice_does_not_hide_the_rest(told):
    text = FULL.read_text().replace("seeds: 2\ntune:", "seeds: 2\nseeds: 3\ntune:")
    places, lines = told(text.replace("critic: shared", "critic: sharred"))
    assert places == [(15, 13), (45, 1)], lines


KEYS_AND_CHESTS = (
    "name: n\nquestion: q\nbase:\n  world: {name: keys_and_chests, keys: 6, chests: 6, size: 7"
)


def test_a_misspelled_key_hides_no_rule_whose_sentence_has_that_word(told):
    _, alone = told(KEYS_AND_CHESTS + "}\n")
    _, both = told(KEYS_AND_CHESTS + ", rooms: 3}\n")
    assert ["in 9 rooms: there must be one more" in line for line in alone] == [True]
    assert len(both) == 2, both
    assert "unknown key 'rooms'" in both[1]
    assert both[0] == alone[0]


def test_a_folder_with_a_colon_changes_no_sentence(tmp_path):
    text = FULL.read_text().replace("{choice: [7, 9, 11]}", "{int_uniform: [7, 11]}")
    file = tmp_path / "a: b" / "sweep.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(SweepError, match="would also draw 8: size 8 is not a maze; allowed: odd"):
        load(file)


def test_what_cannot_be_read_is_told_once(told):
    text = FULL.read_text()
    text = text[: text.index("  when:")] + "  when: .nan\nseeds: 2\n"
    _, lines = told(text)
    assert [line.split(": ", 1)[1] for line in lines] == [".nan given; allowed: a finite number"]
