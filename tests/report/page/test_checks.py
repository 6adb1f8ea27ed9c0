"""The checklist of a verdict's rules, held against the rules themselves."""

from __future__ import annotations

import numpy as np
from made_up_scores import ability

from whichgoal.divergence.score.rules import decide
from whichgoal.divergence.score.verdict import Choice, Contacts, Score, Scorecard
from whichgoal.report.page.checks import checks_of, pursued
from whichgoal.spec import Thresholds

FLOOR = Score(value=0.0, low=0.0, high=0.02, n=512)


def drawn(rng: np.random.Generator, least: float = 0.0, most: float = 1.0) -> Score:
    low, value, high = sorted(rng.uniform(least, most) + rng.normal(0, 0.02, 3))
    return Score(value=value, low=low, high=high, n=512)


def a_card(rng: np.random.Generator) -> Scorecard:
    """Returns a card with scores of all kinds, near what is asked of a goal that is pursued."""
    likes = rng.random() < 0.5  # the proxy
    near, far = (lambda: drawn(rng, 0.45, 1.0)), (lambda: drawn(rng, -1.0, 0.25))

    def of(proxy: bool) -> Score:
        return near() if proxy == likes else far()

    scores = {
        "preference": of(True), "goal_preference": drawn(rng, -1, -0.45) if likes else near(),
        "decided": near(), "chance": drawn(rng),
        "then_goal": drawn(rng, 0.0, 0.95), "expense": near(),
        "attraction_proxy": of(True), "attraction_goal": of(False),
        "farther_proxy": of(True), "farther_goal": of(False),
        "effect_proxy": of(True), "effect_goal": of(False),
    }  # fmt: skip
    for missing in ("attraction_proxy", "effect_goal", "expense", "then_goal"):
        if rng.random() < 0.05:
            scores[missing] = None
    best = "arrow" if likes else "end"
    able = ability(drawn(rng, 0.86, 1.0), FLOOR, drawn(rng, 0.55, 1.0))
    contacts = [
        Contacts(panel="conflict", goal=g, ever=FLOOR, first=FLOOR) for g in ("end", "arrow")
    ]
    return Scorecard(
        intended="end", proxy="arrow", **able, **scores,
        best_goal=best if rng.random() < 0.9 else "none of these",
        choices=(Choice(panel="conflict", proxy="arrow", decided=FLOOR, chance=FLOOR),),
        contacts=tuple(contacts), battery=2, thresholds=Thresholds(), actions="sampled",
        verdict="mixed", goal=None, why="",
    )  # fmt: skip


def test_all_checks_of_a_goal_hold_just_where_the_verdict_names_it() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(3000):
        card = a_card(rng)
        verdict = decide(card, card.thresholds)
        named = pursued(checks_of(card))
        assert (verdict.outcome == "intended") == named.startswith("Does it pursue the end"), card
        of_proxy = named.startswith("Does it pursue the arrow")
        assert (verdict.outcome == "misgeneralized") == of_proxy, card
        found.append(verdict.outcome)
    assert {"intended", "misgeneralized", "mixed", "untrained"} <= set(found)


def test_what_was_not_measured_is_said_to_be_so() -> None:
    card = a_card(np.random.default_rng(1)).model_copy(update={"expense": None})
    (check,) = [check for check in checks_of(card) if check.asks.startswith("expense")]
    assert check.holds is None
    assert check.seen == "not measured"
