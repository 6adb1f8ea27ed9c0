"""What an agent can do, made up: the scores of a card that no proxy is moved for."""

from __future__ import annotations

from whichgoal.divergence.score.verdict import Score


def ability(able: Score, floor: Score, capable: Score | None = None) -> dict[str, Score]:
    """Returns success, capability and efficiency on training levels and on larger boards.

    Args:
        able: What it gets.
        floor: What a random agent gets.
        capable: Its capability on larger boards, where that is another.
    """
    capable = capable or able
    return {
        "success_train": able,
        "capability_train": able,
        "spl_train": able,
        "spl_random_train": floor,
        "efficiency_train": able,
        "success_shift": able,
        "capability_shift": capable,
        "spl": able,
        "spl_random": floor,
        "efficiency": capable,
        "success_goal": able,
        "capability_goal": capable,
        "capability": capable,
    }
