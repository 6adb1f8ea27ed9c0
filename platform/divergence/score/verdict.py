"""Records of what was measured of an agent and what it says: scores, verdict, scorecard.

How a verdict follows from scores: `rules`. What each score is: `scores`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from whichgoal.spec import Spec, Thresholds

Outcome = Literal[
    "untrained", "capability_failure", "intended", "misgeneralized", "mixed", "undetermined"
]
Way = Literal[
    "both in turn", "only while the other is seen", "by distance", "either", "something else"
]
"""In which of the known ways an agent's goals are mixed."""


class Score(Spec):
    """One score: value, interval, and the number of episodes that it rests on."""

    value: float
    low: float
    high: float
    n: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Score:
        if not self.low <= self.high:
            raise ValueError(f"the interval [{self.low}, {self.high}] of a score is not ordered")
        return self

    @property
    def width(self) -> float:
        """Width of the interval."""
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def percent(self) -> str:
        """Returns it as a person says it: `71 % [66, 75]`; of nothing there are no percentages."""
        if self.n == 0:
            return "an unknown share"
        return f"{100 * self.value:.0f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"


class Contacts(Spec):
    """How often one goal was touched in one panel (shares of its episodes, Wilson intervals).

    Attributes:
        ever: It was touched at any time.
        first: It was touched before any other of the goals that the panel has the agent choose from
            (the intended one and the panel's proxy; for another goal: before both of them).
    """

    panel: str
    goal: str
    ever: Score
    first: Score


class Explanation(Spec):
    """How well one candidate goal explains the paths that an agent took.

    Attributes:
        goal: The candidate, `uniform` or `none of these`.
        directedness: Maximum-entropy goal-directedness toward it: 0 as a uniformly random agent, 1
            where every action follows from it; of `none of these`, cross-validated.
        temperature: The inverse temperature b of most episodes; None for `none of these`.
        added: What it adds to a goal-free policy, in the unit of directedness: the gain of an agent
            that switches between that and the pursuit, over one that follows it only.
        weight: Share of the episodes that it accounts for in a mixture of all candidates.
    """

    goal: str
    directedness: Score
    temperature: float | None
    added: Score
    weight: Score


class Preferences(Spec):
    """What an agent does where one proxy and the intended goal are apart.

    What each score is, the file of its panel says (`PANELS`). It is None where it was not measured
    or the episodes cannot tell (nobody chose anything).

    Attributes:
        proxy: The proxy that is moved away from the goal.
        best_goal: The candidate goal that explains the behavior best, or "none of these".
        explanations: Every candidate, best first.
        further: Scores that panels declare and no field is named for: nothing here decides on them.
    """

    proxy: str
    decided: Score
    chance: Score
    preference_raw: Score | None = None
    preference: Score | None = None
    goal_preference: Score | None = None
    approach: Score | None = None
    then_goal: Score | None = None
    then_proxy: Score | None = None
    expense: Score | None = None
    attraction_proxy: Score | None = None
    attraction_goal: Score | None = None
    effect_proxy: Score | None = None
    effect_goal: Score | None = None
    effect_placebo: Score | None = None
    exchange: Score | None = None
    farther_goal: Score | None = None
    farther_proxy: Score | None = None
    success_proxy: Score | None = None
    capability_proxy: Score | None = None
    surplus: Score | None = None
    surplus_all: Score | None = None
    after: Score | None = None
    best_goal: str | None = None
    margin: Score | None = None
    explanations: tuple[Explanation, ...] = ()
    further: dict[str, Score | None] = Field(default={}, exclude_if=lambda further: not further)

    def score(self, name: str) -> Score | None:
        """Returns the score of that name, of a field or of `further`; None if it has none."""
        own = name in type(self).model_fields
        found: Score | None = getattr(self, name) if own else self.further.get(name)
        return found


class Choice(Preferences):
    """The preferences between the intended goal and one proxy, and the panel that they are from."""

    panel: str


class Scores(Preferences):
    """What a battery measured of one checkpoint with one way of choosing actions.

    Its own preferences are those of the proxy that is preferred most.

    Attributes:
        intended: The intended goal.
        capability: That of the panel `shift`, `shift_goal` or `shift_proxy` on which it is surest.
        choices: The preferences for every proxy that is moved.
        contacts: Contact rates of every goal in every panel.
    """

    intended: str
    success_train: Score
    capability_train: Score
    spl_train: Score
    spl_random_train: Score
    efficiency_train: Score
    success_shift: Score
    capability_shift: Score
    spl: Score
    spl_random: Score
    efficiency: Score
    success_goal: Score
    capability_goal: Score
    capability: Score
    choices: tuple[Choice, ...] = ()
    contacts: tuple[Contacts, ...] = ()

    def contact(self, panel: str, goal: str) -> Contacts:
        """Returns the contact rates of a goal in a panel; KeyError if there are none."""
        for contacts in self.contacts:
            if (contacts.panel, contacts.goal) == (panel, goal):
                return contacts
        raise KeyError(f"no contacts with goal {goal!r} in panel {panel!r}")


class Verdict(Spec):
    """An outcome, the goal that it names, and why, in words.

    Attributes:
        prefers: The proxy that it surely takes first although the goal is as near, and goes for by
            every measure but that of expense; where it is misgeneralized, its goal.
        way: Of `mixed`: in which of the known ways.
    """

    outcome: Outcome
    goal: str | None
    why: str
    prefers: str | None = None
    way: Way | None = None

    @property
    def text(self) -> str:
        """The verdict in one word: the outcome, with the proxy where it is misgeneralized."""
        misgeneralized = self.outcome == "misgeneralized"
        return f"{self.outcome}:{self.goal}" if misgeneralized else self.outcome


class Scorecard(Scores):
    """Scores and verdict of one checkpoint, stamped with how they came about.

    Attributes:
        battery: Version of the battery.
        thresholds: The lines that the verdict was decided on.
        actions: How the agent chose actions in the episodes that were scored.
        verdict: `untrained`, `capability_failure`, `intended`, `misgeneralized:<goal>`, `mixed` or
            `undetermined`.
        goal: The goal that the verdict names: for `intended` and `misgeneralized`, else None.
        prefers: The proxy that it prefers, at the goal's expense or not, else None.
        way: Of `mixed`: in which of the known ways.
        why: The reason, for a person.
        instrument: How this battery did on agents of known goal in this world.
    """

    trial: str = ""
    env_steps: int = 0
    battery: int
    thresholds: Thresholds
    actions: str
    verdict: str
    goal: str | None
    prefers: str | None = None
    way: Way | None = None
    why: str
    instrument: str = ""
