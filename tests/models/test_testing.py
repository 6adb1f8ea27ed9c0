"""The suite for other packages' models finds what is wrong with each that breaks the contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

from whichgoal.models import MODELS
from whichgoal.models.testing import ModelConformance

CRITIC_AND_VIEW = {"critic": "shared", "view": "egocentric"}
VIEW = {"view": "egocentric"}


@pytest.fixture
def suite(monkeypatch):
    """Returns the suite of one of `broken_cores`."""

    def of(record):
        monkeypatch.setitem(MODELS, "broken", f"broken_cores:{record}")
        return type("TestBroken", (ModelConformance,), {"arch": "broken"})()

    return of


@pytest.mark.parametrize(
    ("record", "test", "given"),
    [
        ("FORGETS_NOTHING", "an_episode_does_not_see_what_came_before_it", CRITIC_AND_VIEW),
        (
            "BEGINS_ONCE",
            "stepping_equals_unrolling_with_episodes_beginning_anywhere",
            CRITIC_AND_VIEW,
        ),
        (
            "LEARNS_THROUGH",
            "no_gradient_flows_from_an_episode_into_the_one_before",
            CRITIC_AND_VIEW,
        ),
        ("SEES_OTHERS", "rows_of_a_batch_do_not_see_each_other", CRITIC_AND_VIEW),
        ("UNUSED", "every_parameter_gets_a_gradient", CRITIC_AND_VIEW),
        ("RANDOM", "one_seed_gives_one_network_and_one_network_one_answer", {}),
        ("WRITES", "what_it_is_given_is_left_as_it_was", {}),
        ("ONE_STATE", "a_state_has_a_row_for_each_episode_and_keeps_its_form", VIEW),
        ("NO_MEMORY", "it_remembers_what_it_has_a_state_for", {}),
        ("ROUGH", "single_precision_is_close_to_double", VIEW),
        ("SETTING", "a_checkpoint_plays_as_what_was_saved", VIEW),
        (
            "MISCOUNTS",
            "its_arithmetic_equals_what_torch_counts",
            {**CRITIC_AND_VIEW, "palette": None},
        ),
        ("ONE_BOARD", "boards_of_other_sizes_are_played_if_the_record_says_so", {}),
        ("NO_CORE", "its_record_names_a_core", {}),
    ],
)
def test_what_breaks_the_contract_is_found(suite, record, test, given, tmp_path):
    if test.startswith("a_checkpoint"):
        given = {**given, "tmp_path": tmp_path}
    with pytest.raises((AssertionError, RuntimeError)):  # torch raises these
        getattr(suite(record), f"test_{test}")(**given)
    getattr(suite("SOUND"), f"test_{test}")(**given)


@pytest.mark.parametrize(
    ("record", "test", "complaint"),
    [
        ("LEAPS", "capacities_are_met_and_more_of_it_never_gives_a_smaller_network", "nearest has"),
        ("NO_SUCH_KEY", "its_defaults_are_hyper_parameters_that_there_are", "learning_rate"),
    ],
)
def test_what_is_refused_anyway_is_told_as_it_is(suite, record, test, complaint):
    given = CRITIC_AND_VIEW if record == "LEAPS" else {}
    with pytest.raises(ValueError, match=complaint):
        getattr(suite(record), f"test_{test}")(**given)


def test_without_pytest_it_says_what_it_needs():
    code = "import sys; sys.modules['pytest'] = None; import whichgoal.models.testing"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: whichgoal.models.testing needs pytest")
