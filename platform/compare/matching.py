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

    Sets are made from the lowest success up: where the lowest of the groups' next agents lies
    within the caliper of the highest, they are a set; if not, it can have no partner and is left
    out. On a line this gives as many sets as there can be, and no draw decides.
    """
    queues = [sorted(group, key=lambda a: (success(a), a.seed)) for group in groups]
    at = [0] * len(queues)
    chosen: list[list[Agent]] = [[] for _ in queues]
    while all(i < len(queue) for i, queue in zip(at, queues, strict=True)):
        heads = [queue[i] for i, queue in zip(at, queues, strict=True)]
        values = [success(head) for head in heads]
        if max(values) - min(values) <= caliper + 1e-12:
            for group, head in zip(chosen, heads, strict=True):
                group.append(head)
            at = [i + 1 for i in at]
        else:
            at[values.index(min(values))] += 1
    return chosen
