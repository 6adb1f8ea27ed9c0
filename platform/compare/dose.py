"""How much disagreement turns half the agents to the intended goal, and trends over size.

The dose is the disagreement rate 1 - agreement: how often the proxy and the goal were apart in
training. The share of a cell's capable agents that adopt the intended goal is fitted with
logit P = b0 + b1 log(dose), penalized (`logistic.py`). a50 = exp(-b0 / b1) is the dose at which
half of them do. With sizes, logit P = b0 + b1 log(dose) + b2 log(trunk parameters), and
log a50 falls or rises by -b2 / b1 per unit of log size.

**A dose of 0** (agreement exactly 1) has no logarithm. It is put at half the smallest dose that is
not 0: "less than what was tried". The slope depends on that choice a little; a50 hardly does.

**Intervals** are percentiles of a bootstrap over seeds within cells. A cell whose agents all do the
same would resample to itself for ever, and its interval would be far too narrow (65 to 93 % of
simulated ones held the truth); so a resampled agent hits with (hits + 1/4) / (n + 1/2), not
hits / n. Then 94 to 99 % did, and 93 to 95 % of those of slopes (`tests/test_compare_dose.py`),
save that five seeds per cell are too few for a steep slope: 72 % at 3 per unit of log dose, always
erring towards 0.
"""

from __future__ import annotations

import numpy as np

from whichgoal.compare import logistic
from whichgoal.compare.estimate import MIN_SEEDS, Estimate
from whichgoal.compare.logistic import Array, Counts
from whichgoal.spec import Spec

DRAWS = 2000
PULL = 0.25
"""Pseudo-agents on either side of each cell that is resampled; 0 is the plain bootstrap."""


class DoseResponse(Spec):
    """a50 and the slope of the goal's adoption in log disagreement, with what they rest on.

    Attributes:
        doses: Disagreement rate of each cell.
        zero_as: What a disagreement of 0 was put at; None where no cell has it.
        hits: Agents that adopted the goal.
        n: Competent agents.
    """

    doses: tuple[float, ...]
    zero_as: float | None
    hits: tuple[int, ...]
    n: tuple[int, ...]
    a50: Estimate
    slope: Estimate


def floor_of(doses: Array) -> float | None:
    """Returns what a dose of 0 is put at: half the smallest that is not 0; None without any."""
    above = doses[doses > 0]
    return float(above.min() / 2) if len(above) else None


def without_zero(doses: Array, zero_as: float | None) -> Array:
    """Returns the doses with `zero_as` in the place of 0."""
    return doses if zero_as is None else np.where(doses > 0, doses, zero_as)


def fit_and_draw(
    columns: Array, hits: Counts, n: Counts, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[Array, Array]:
    """Fits the agents, and agents drawn anew in each cell: `[1, p + 1]` and `[draws, p + 1]`.

    Args:
        columns: `[J, p]`, what their share of hits depends on.
        hits: `[J]`, agents with the outcome.
        n: `[J]`, capable agents.
        rng: Draws the agents.
        draws: How often.
    """
    drawn = rng.binomial(n, (hits + PULL) / (n + 2 * PULL), size=(draws, len(n)))
    return logistic.fit(columns, hits[None], n), logistic.fit(columns, drawn, n)


def dose_response(
    doses: Array,
    hits: Counts,
    n: Counts,
    rng: np.random.Generator,
    confidence: float = 0.95,
    draws: int = DRAWS,
    zero_as: float | None = None,
) -> DoseResponse:
    """Fits the share of agents that adopt the goal against log dose.

    Args:
        doses: `[J]` disagreement rates.
        hits: `[J]`, agents that adopted the goal.
        n: `[J]`, capable agents.
        rng: Draws the bootstrap.
        confidence: Of the intervals.
        draws: Resamples.
        zero_as: What a dose of 0 is put at; by default `floor_of` these doses.
    """
    zero_as = zero_as or floor_of(doses)
    note = too_few(doses, n, "disagreement") or one_sided(hits, n)
    a50 = slope = Estimate(note=note)
    if not note:
        x = np.log(without_zero(doses, zero_as))
        fits = fit_and_draw(x[:, None], hits, n, rng, draws)
        a50 = _a50(*fits, x[n > 0], confidence)
        slope = slope_estimate(*fits, confidence, logistic.is_separated(x, hits, n))
    return DoseResponse(
        doses=tuple(map(float, doses)),
        zero_as=zero_as if (doses == 0).any() else None,
        hits=tuple(map(int, hits)),
        n=tuple(map(int, n)),
        a50=a50,
        slope=slope,
    )


def _a50(fitted: Array, drawn: Array, x: Array, confidence: float) -> Estimate:
    found = estimate_of(_crossing(fitted, x), _crossing(drawn, x), confidence)
    value, low, high = (
        None if end is None else float(np.exp(end)) for end in (found.value, found.low, found.high)
    )
    note = ""
    if value is None:
        side = "more" if _crossing(fitted, x)[0] < 0 else "fewer"
        note = f"not reached: {side} than half adopt it at every disagreement tried"
    return Estimate(value=value, low=low, high=high, note=note)


def slope_estimate(fitted: Array, drawn: Array, confidence: float, separated: bool) -> Estimate:
    """Returns the slope of fits on one column; where groups are separated its steep side is open.

    Args:
        fitted: `[1, 2]`, see `fit_and_draw`.
        drawn: `[draws, 2]`.
        confidence: Of the interval.
        separated: See `logistic.is_separated`.
    """
    found = estimate_of(fitted[:, 1], drawn[:, 1], confidence)
    if not separated:
        return found
    steep = {"high": None} if fitted[0, 1] > 0 else {"low": None}
    note = "separated: at most one cell has agents of both kinds, so any steeper slope fits too"
    return found.model_copy(update={**steep, "note": note})


def _crossing(fits: Array, x: Array) -> Array:
    """Returns where fits `[B, 2]` rise through one half: `[B]`.

    Minus infinity where that is below all x that were tried, infinity where above, or where they
    do not rise and lie below one half.
    """
    low, high = x.min(), x.max()
    rising = fits[:, 1] > 1e-9
    at = -fits[:, 0] / np.where(rising, fits[:, 1], 1.0)
    middle = fits[:, 0] + fits[:, 1] * (low + high) / 2
    at = np.where(rising, at, np.where(middle > 0, -np.inf, np.inf))
    found: Array = np.where(at < low, -np.inf, np.where(at > high, np.inf, at))
    return found


def estimate_of(value: Array, drawn: Array, confidence: float) -> Estimate:
    """Returns `value [1]` with percentiles of `drawn [B]`; what is not finite is None."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    ends = value[0], min(low, value[0]), max(high, value[0])
    told = [float(end) if np.isfinite(end) else None for end in ends]
    return Estimate(value=told[0], low=told[1], high=told[2])


def shift_of_a50(
    doses: Array,
    sizes: Counts,
    hits: Counts,
    n: Counts,
    rng: np.random.Generator,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Estimate:
    """Returns how log a50 changes per unit of log size; all `[J]`, and no dose is 0.

    0: size does not matter; -1: twice the size needs half the disagreement.
    """
    note = (
        too_few(doses, n, "disagreement")
        or too_few(sizes.astype(float), n, "size")
        or one_sided(hits, n)
    )
    if note:
        return Estimate(note=note)
    columns = np.column_stack([np.log(doses), np.log(sizes)])
    fitted, drawn = fit_and_draw(columns, hits, n, rng, draws)
    rising = float((drawn[:, 1] > 0).mean())
    if fitted[0, 1] <= 0 or rising < (1 + confidence) / 2:
        return Estimate(note="not identified: adoption does not surely rise with disagreement")
    drawn = drawn[drawn[:, 1] > 0]
    return estimate_of(-fitted[:, 2] / fitted[:, 1], -drawn[:, 2] / drawn[:, 1], confidence)


def too_few(x: Array, n: Counts, what: str) -> str:
    """Returns what is missing for a regression on x, empty where nothing is."""
    levels = {float(v): int(n[x == v].sum()) for v in np.unique(x)}
    enough = sum(count >= MIN_SEEDS for count in levels.values())
    if enough >= 2:
        return ""
    return (
        f"too few agents: {enough} of {len(levels)} values of {what} "
        f"{'has' if enough == 1 else 'have'} {MIN_SEEDS} or more; 2 are needed"
    )


def one_sided(hits: Counts, n: Counts) -> str:
    """Returns that all or none of the agents have the outcome, empty where neither."""
    if hits.sum() == n.sum():
        return "not identified: all agents adopt it"
    return "not identified: no agent adopts it" if hits.sum() == 0 else ""
