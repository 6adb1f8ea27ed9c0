"""Agents of like success on `train`, cell by cell, so that competence cannot pass for size.

Success on `train` differs between cells, and the better an agent does its task, the more often it
may show its goal. A comparison is made twice: with all competent agents (raw), and with agents
that are matched on success: in sets of one agent per cell whose successes lie within a *caliper*
of each other. What matching leaves is smaller and answers another question (what is left of the
difference among agents that do the task equally well?), so both are shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from whichgoal.compare.cells import Agent

CALIPER = 0.01
"""How far apart the successes of matched agents may lie: about the standard error of one success of
512 episodes near 0.95. Up to so much of a difference in success can be left between cells."""


def success(agent: Agent) -> float:
    """Returns an agent's share of success on held-out levels like those of its training."""
    return agent.card.success_train.value


def match(groups: Sequence[Sequence[Agent]], caliper: float = CALIPER) -> list[list[Agent]]:
    """Returns, per group, the agents that have a partner in every other group.

    The closest set of one agent per group is taken first, then the closest of those that are left,
    while they lie within the caliper. (As many sets as possible is the wrong aim: that pairs each
    agent with one at the caliper's other end, and leaves the cells' successes apart.) No draw
    decides; of equal successes the lower seed comes first.
    """
    queues = [sorted(group, key=lambda a: (success(a), a.seed)) for group in groups]
    chosen: list[list[Agent]] = [[] for _ in queues]
    while all(queues):
        places = _closest([[success(agent) for agent in queue] for queue in queues])
        values = [success(queue[i]) for queue, i in zip(queues, places, strict=True)]
        if max(values) - min(values) > caliper + 1e-12:
            break
        for group, queue, i in zip(chosen, queues, places, strict=True):
            group.append(queue.pop(i))
    return chosen


def _closest(queues: Sequence[Sequence[float]]) -> list[int]:
    """Returns the places, one in each ascending list, of the values with the smallest range.

    In any set, the lowest value can only be bettered by the next of its own list: so all sets that
    matter are met by going on where the lowest is.
    """
    at = [0] * len(queues)
    best, smallest = list(at), float("inf")
    while True:
        values = [queue[i] for queue, i in zip(queues, at, strict=True)]
        lowest = values.index(min(values))
        if max(values) - values[lowest] < smallest:
            best, smallest = list(at), max(values) - values[lowest]
        at[lowest] += 1
        if at[lowest] == len(queues[lowest]):
            return best
