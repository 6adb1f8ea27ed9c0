"""What all specs and messages share: nested dicts as dotted keys, and texts that are cut short."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from whichgoal.explain import reason
from whichgoal.run.launch import why_it_died
from whichgoal.spec import cut_short, flat, nest

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
