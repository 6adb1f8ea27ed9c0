"""Which version of our code made the scores: verdicts of two versions are never mixed in silence.

The finished-marker of a trial's scores carries the digest of the code that made them; those of
older versions carry none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from whichgoal.compare.cells import Agent
from whichgoal.storage.status import scoring_code


def is_todays(code: str | None) -> bool:
    """Returns whether scores whose marker carries this digest were made by the code of today."""
    return code == scoring_code()


def codes_that_count(codes: Collection[str | None]) -> Collection[str | None]:
    """Returns whose scores count where a mixture may not stop the work, in a run and in MLflow.

    Today's where there are any; else the only one that there is; else none.
    """
    todays = [code for code in codes if is_todays(code)]
    return todays or (codes if len(codes) == 1 else ())


def code_text(code: str | None) -> str:
    """Returns a version of the code for people."""
    name = code or "a version that left no digest"
    return f"{name} (today's)" if is_todays(code) else name


def check_one_code(agents: Sequence[Agent]) -> None:
    """Raises `ValueError` unless one version of the code scored all agents; says how many of each.

    Nothing is played or trained for scoring anew.
    """
    counts = Counter(agent.code for agent in agents)
    if len(counts) > 1:
        each = ", ".join(f"{n} by {code_text(code)}" for code, n in counts.most_common())
        raise ValueError(
            f"agents were scored by different versions of the scoring code ({each}), so their "
            f"verdicts cannot be compared; whichgoal run FILE scores them again: it plays and "
            f"trains nothing that is done"
        )
