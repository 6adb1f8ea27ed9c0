"""Fisher's test between cells and Holm's correction: known values, and power."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from whichgoal.compare.contrasts import (
    adjust,
    fisher_exact,
    fisher_test,
    holm,
    seeds_needed,
    smallest_p,
)


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ((10, 13), (2, 17), 0.0005367),  # convicted among twins of convicts, alike and not
        ((3, 4), (1, 4), 34 / 70),  # cups of tea that had the milk first, called so
    ],
)
def test_fishers_p_is_that_of_his_own_examples(a, b, p):
    """R. A. Fisher, *The logic of inductive inference* and *The design of experiments*, 1935."""
    assert fisher_exact(*a, *b) == pytest.approx(p, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_nothing_to_correct_is_no_error():
    assert holm([]) == []


def test_ten_against_ten_seeds_tell_two_from_eight_but_not_three_from_eight():
    assert f"{fisher_exact(2, 10, 8, 10):.3f}" == "0.023"
    assert f"{fisher_exact(3, 10, 8, 10):.3f}" == "0.070"


def test_three_against_three_seeds_tell_nothing_at_all():
    assert smallest_p(3, 3) == pytest.approx(0.1)
    assert smallest_p(4, 4) == pytest.approx(2 / 70)
    assert (seeds_needed(0.05), seeds_needed(0.01)) == (4, 5)


def test_a_test_that_could_tell_nothing_is_not_made_and_says_how_many_agents_it_needs():
    found = fisher_test(0, 3, 3, 3, alpha=0.05)
    assert found.p is None
    assert found.difference == -1
    assert found.note == (
        "no test: 3 against 3 could not tell even none from all (p = 0.10); 4 in each are needed"
    )
    assert fisher_test(0, 2, 9, 9, alpha=0.05).note == (
        "no test: 2 against 9 competent agents; 4 in each are needed"
    )


def test_tests_that_were_not_made_do_not_weigh_on_the_others():
    family = [
        fisher_test(0, 9, 9, 9, 0.05),
        fisher_test(0, 2, 2, 2, 0.05),
        fisher_test(4, 9, 5, 9, 0.05),
    ]
    first, none, second = adjust(family, 0.05)
    assert first.p_adjusted == pytest.approx(2 * first.p)
    assert (none.p, none.p_adjusted) == (None, None)
    assert second.p_adjusted == second.p == 1
    assert first.note == second.note == ""


def test_a_family_in_which_no_outcome_would_count_says_how_many_agents_it_needs():
    """Ten tests of five against five: 2 / 252 at best, ten times that after correction."""
    found = adjust([fisher_test(0, 5, 5, 5, 0.05)] * 10, 0.05)
    assert found[0].p < 0.01 < 0.05 < found[0].p_adjusted
    assert found[0].note == (
        "after correction over 10 tests not even none from all could be told; 6 in each are needed"
    )
    assert smallest_p(6, 6) * 10 < 0.05
