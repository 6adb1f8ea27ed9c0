"""How simple goals are and how far they are seen, on the observation alone."""

from __future__ import annotations

import pytest

from whichgoal.divergence.proxies import simplicity
from whichgoal.divergence.proxies.simplicity import apart, looks
from whichgoal.envs.registry import world_named

ARROW = world_named("arrow_maze")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplicity, "MOST", 400)


def test_the_arrow_is_simpler_than_the_end_and_a_corner_is_not_to_be_found() -> None:
    found = looks(ARROW, ARROW.Design(), ("end", "arrow", "corner"), seeds=1, poses=20_000)
    end, arrow, corner = found
    assert [one.goal for one in found] == ["end", "arrow", "corner"]
    assert arrow.steps[0] is not None
    assert arrow.steps[0] < 300
    assert end.steps == (None,), "an opening is a hole in the wall: it takes 860 steps and more"
    assert corner.steps == (None,)
    assert corner.anywhere == 0
    assert arrow.anywhere > end.anywhere > 0
    assert arrow.at_start > 0


def test_the_same_again_is_the_same() -> None:
    first, again = (
        looks(ARROW, ARROW.Design(), ("arrow",), seeds=2, poses=6_000) for _ in range(2)
    )
    assert first == again


def test_goals_are_put_apart_and_a_design_without_agreement_stays() -> None:
    design = ARROW.Design()
    assert apart(design).agreement.arrow == 0  # type: ignore[attr-defined]
    assert apart(design).size == design.size  # type: ignore[attr-defined]
