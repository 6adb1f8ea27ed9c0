"""Records as nested dicts and as dotted keys are the same."""

from hypothesis import given
from hypothesis import strategies as st

from whichgoal.spec import flat, nest

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
