"""What all specs and messages share, and what a trial's id is of."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichgoal.explain import reason
from whichgoal.run.launch import why_it_died
from whichgoal.spec import ModelSpec, TrialSpec, WorldSpec, cut_short, flat, nest

KEYS = st.text("abc_", min_size=1, max_size=3)
RECORDS = st.dictionaries(
    KEYS,
    st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner, max_size=3)),
    max_size=3,
)


@given(RECORDS)
def test_what_is_made_flat_nests_to_what_it_was(record):
    assert nest(flat(record)) == record


def test_a_prefix_stands_before_every_dotted_key():
    assert flat({"lr": 1, "of": {"it": 2, "none": {}}}, "ppo.") == {
        "ppo.lr": 1,
        "ppo.of.it": 2,
        "ppo.of.none": {},
    }


def test_a_text_that_is_cut_short_says_so():
    assert cut_short("one  line\nor two") == "one line or two"
    assert cut_short("1" * 300) == "1" * 300
    assert cut_short("1" * 301) == "1" * 297 + "..."


def test_the_reason_of_a_users_own_error_ends_in_dots_where_it_is_cut_short():
    assert reason(ValueError("1" * 301)) == f"ValueError: {'1' * 297}..."
    assert reason(ValueError()) == "ValueError"


def test_why_a_trial_died_begins_with_dots_where_it_is_cut_short():
    def died_of(text: str) -> SimpleNamespace:
        return SimpleNamespace(get_pickled_error=lambda: ValueError(text))

    assert why_it_died(died_of("1" * 300)) == f"ValueError: {'1' * 300}"
    assert why_it_died(died_of("1" * 300 + "2")) == f"ValueError: ...{'1' * 296}2"


def a_trial(arch: str, **model: int) -> TrialSpec:
    world = WorldSpec.model_validate({"name": "arrow_maze", "size": 9})
    return TrialSpec(world=world, model=ModelSpec(arch=arch, **model))


FIRST_IDS = {
    "mlp": "85c46417f826",
    "lstm": "b05fb61b967f",
    "gtrxl": "164ac1bc5443",
    "planner": "75a5e5dd2137",
    "vin": "e51fd94bd2ce",
}


@pytest.mark.parametrize("arch", sorted(FIRST_IDS))
def test_an_architecture_keeps_its_ids_unless_its_sizes_are_chosen_anew(arch):
    kept = a_trial(arch).id == FIRST_IDS[arch]
    assert kept == (arch not in ("planner", "vin"))
    assert a_trial(arch).model.sizing == (None if kept else 2)


@pytest.mark.parametrize("arch", sorted(FIRST_IDS))
def test_what_was_kept_before_there_was_a_second_rule_is_of_the_first(arch):
    record = a_trial(arch).model_dump(mode="json")
    del record["model"]["sizing"]
    kept = TrialSpec.of_record(record)
    assert kept.id == FIRST_IDS[arch]
    assert kept.model.sizing in (None, 1)
    assert TrialSpec.of_record(kept.identity()) == kept
    assert TrialSpec.of_record(kept.model_dump(mode="json")) == kept


@pytest.mark.parametrize(("arch", "sizing"), [("planner", 3), ("lstm", 1), ("lstm", 2)])
def test_a_rule_of_sizes_that_an_architecture_never_had_is_refused(arch, sizing):
    with pytest.raises(ValueError, match=f"sizing {sizing} of '{arch}'"):
        a_trial(arch, sizing=sizing)
