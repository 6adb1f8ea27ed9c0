"""Tests between cells: Fisher's exact test on shares of agents, with Holm's correction.

Sources: R. A. Fisher, *The logic of inductive inference* (1935); S. Holm, *A simple sequentially
rejective multiple test procedure*, Scandinavian Journal of Statistics (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from whichgoal.compare.estimate import MIN_SEEDS
from whichgoal.spec import Spec


class Test(Spec):
    """Fisher's test of one share against another.

    Attributes:
        hits: Adopters in the first and in the second cell.
        n: Competent agents in each.
        difference: Share in the first cell minus share in the second; None without agents.
        p: Two-sided; None where no test was made.
        p_adjusted: By Holm's method over the tests of the family that were made.
        success_gap: Mean success on `train` of the first minus that of the second.
        note: Why no test was made, or why it can tell nothing in this family, and how many agents
            that needs.
    """

    __test__ = False  # not a test of pytest's

    hits: tuple[int, int]
    n: tuple[int, int]
    difference: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    success_gap: float | None = None
    note: str = ""


@cache
def fisher_exact(hits_a: int, n_a: int, hits_b: int, n_b: int) -> float:
    """Returns SciPy's two-sided p of Fisher's exact test of hits_a / n_a against hits_b / n_b."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[hits_a, n_a - hits_a], [hits_b, n_b - hits_b]]).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns the p-values adjusted for each other (Holm 1979); None, of no test, stays None."""
    made = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(made):
        adjusted[i] = highest = max(highest, min(1.0, (len(made) - rank) * p))
    return adjusted


def smallest_p(n_a: int, n_b: int) -> float:
    """Returns the smallest p that n_a against n_b agents can give: all of these, none of those."""
    return fisher_exact(n_a, n_a, 0, n_b)


def seeds_needed(alpha: float) -> int:
    """Returns how many agents per cell could at best give a p of at most alpha."""
    n = MIN_SEEDS
    while smallest_p(n, n) > alpha:
        n += 1
    return n


def fisher_test(
    hits_a: int, n_a: int, hits_b: int, n_b: int, alpha: float, success_gap: float | None = None
) -> Test:
    """Tests one cell against another, where that many agents can tell anything at all."""
    hits, n = (hits_a, hits_b), (n_a, n_b)
    difference = hits_a / n_a - hits_b / n_b if n_a and n_b else None
    note = ""
    if min(n) < MIN_SEEDS:
        note = f"no test: {n_a} against {n_b} competent agents"
    elif (least := smallest_p(n_a, n_b)) > alpha:
        note = f"no test: {n_a} against {n_b} could not tell even none from all (p = {least:.2f})"
    if note:
        note += f"; {seeds_needed(alpha)} in each are needed"
    p = None if note else fisher_exact(hits_a, n_a, hits_b, n_b)
    return Test(hits=hits, n=n, difference=difference, p=p, success_gap=success_gap, note=note)


def adjust(family: Sequence[Test], alpha: float) -> list[Test]:
    """Returns the tests with p-values that are adjusted over those that were made.

    Where the family is so large, or its cells so small, that no outcome at all could have given an
    adjusted p of at most alpha, each test says so.
    """
    least = [smallest_p(*test.n) for test in family if test.p is not None]
    note = ""
    if least and len(least) * min(least) > alpha:
        note = (
            f"after correction over {len(least)} tests not even none from all could be told; "
            f"{seeds_needed(alpha / len(least))} in each are needed"
        )
    return [
        test if p is None else test.model_copy(update={"p_adjusted": p, "note": note})
        for test, p in zip(family, holm([test.p for test in family]), strict=True)
    ]
