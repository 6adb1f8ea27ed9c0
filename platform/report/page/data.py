"""All that the page shows, as one record: what `compare --json` says, and of each agent the rest.

The numbers of the figures are those of the comparison itself; nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whichgoal.compare.cells import Agent, Cell, is_capable
from whichgoal.compare.command import Compared
from whichgoal.compare.estimate import cell_name
from whichgoal.compare.records import Comparison
from whichgoal.compare.versions import alike
from whichgoal.divergence.panels.registry import columns, records
from whichgoal.divergence.score import recorded, stamp
from whichgoal.divergence.score.verdict import Score
from whichgoal.redact import redact, visible_lines
from whichgoal.report.page.checks import checks_of
from whichgoal.report.page.exchange import exchange_curve
from whichgoal.report.page.replays import Boards
from whichgoal.report.tables.columns import choice_text
from whichgoal.report.watch import choose
from whichgoal.spec import CAPACITY
from whichgoal.storage.curve import read_curve
from whichgoal.storage.files import read_record
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage

MOST_FILMED = 100
"""Agents up to which each has films; of more, those of each cell that are chosen by rule."""
CURVE_POINTS = 48
EXPLANATIONS = 6


def page_record(compared: Compared, storage: Storage) -> dict[str, Any]:
    """Returns all that the page shows.

    Args:
        compared: A sweep with at least one scored agent.
        storage: Where its agents are.
    """
    found = compared.comparison
    assert found is not None, "a sweep without a scored agent has no page"
    agents = [agent for cell in found.cells for agent in cell.members]
    chosen = {agent.card.trial for cell in found.cells for agent in choose(cell).values()}
    boards = Boards(storage)
    several = len(agents) > MOST_FILMED
    listed = {}
    for number, cell in enumerate(found.cells):
        for agent in cell.members:
            filmed = not several or agent.card.trial in chosen
            listed[agent.card.trial] = _agent(agent, number, storage, boards if filmed else None)
    first = agents[0].card
    return _told(
        {
            "compare": compared.record(),
            "storage": redact(str(storage)),
            "notes": [redact(line) for line in compared.sweep.notes()],
            "thresholds": first.thresholds.model_dump(mode="json"),
            "episodes": first.decided.n,
            "instrument": first.instrument,
            "commits": _commits(listed, storage),
            "names": [cell_name(cell.choices) for cell in found.cells],
            "beside": [cell_name(_beside(cell)) for cell in found.cells],
            "texts": [{k: choice_text(v) for k, v in c.choices.items()} for c in found.cells],
            "matched": _matched(found),
            "chosen": [{k: a.card.trial for k, a in choose(c).items()} for c in found.cells],
            "effects": _effects(found),
            "doses": [cell_name(dose.among) or "all agents" for dose in found.doses],
            "confusion": read_record(stamp.RECORD).get("confusion", {}),
            "agents": listed,
            "boards": boards.found,
            "glossary": {column.row_name: column.says for column in columns()},
            "panels": [[r.role, r.goal, r.proxy, r.purpose] for r in records()],
        }
    )


def _beside(cell: Cell) -> dict[str, Any]:
    """Returns a cell's choices without architecture and capacity: adoption has a panel of each."""
    return {k: v for k, v in cell.choices.items() if k not in ("model.arch", CAPACITY)}


def _agent(agent: Agent, cell: int, storage: Storage, boards: Boards | None) -> dict[str, Any]:
    card = agent.card
    folder = TrialFolder(storage.trial(card.trial))
    return {
        "cell": cell,
        "seed": agent.seed,
        "verdict": card.verdict,
        "capable": is_capable(card),
        "goal": card.intended,
        "proxy": card.proxy,
        "way": card.way,
        "why": card.why,
        "steps": card.env_steps,
        "trunk": agent.trunk_parameters,
        "scores": _scores(card),
        "checks": [[c.group, c.asks, c.seen, c.holds] for c in checks_of(card)],
        "explained": [
            [e.goal, round(e.directedness.value, 3), round(e.weight.value, 3)]
            for e in card.explanations[:EXPLANATIONS]
        ],
        "curve": _curve(folder),
        "along": _along(folder),
        "exchange": exchange_curve(folder, card),
        "films": [] if boards is None else boards.films(folder, card),
    }


def _scores(card: Any) -> dict[str, list[float]]:
    found = {}
    for name in type(card).model_fields:
        score = getattr(card, name)
        if isinstance(score, Score):
            found[name] = [
                round(score.value, 4),
                round(score.low, 4),
                round(score.high, 4),
                score.n,
            ]
    return found


def _curve(folder: TrialFolder) -> list[list[float]]:
    """Returns success in training over env steps, of at most `CURVE_POINTS` batches."""
    rows = [row for row in read_curve(folder.path) if "success" in row]
    step = max(1, -(-len(rows) // CURVE_POINTS))
    kept = rows[::step] + ([rows[-1]] if rows and (len(rows) - 1) % step else [])
    return [[row["env_steps"], round(row["success"], 4)] for row in kept]


def _along(folder: TrialFolder) -> list[list[Any]]:
    """Returns proxy preference along training, where its checkpoints are scored: verdicts, too."""
    try:
        cards = [card for _, card in recorded.cards_along(folder)]
    except ValueError:  # mostly: nobody has asked for it
        return []
    known = [(card, card.preference) for card in cards if card.preference is not None]
    return [
        [card.env_steps, round(s.value, 4), round(s.low, 4), round(s.high, 4), card.verdict]
        for card, s in sorted(known, key=lambda pair: pair[0].env_steps)
    ]


def _matched(found: Comparison) -> list[str]:
    """Returns the capable agents that have a like at another value of the axis that is asked about.

    Those on which the effect rests that is counted among agents of like capability and efficiency:
    in a class of these, in cells that differ in nothing but the axis.
    """
    axis = found.asked.axis
    classes: dict[Any, list[tuple[Any, str]]] = {}
    for cell in found.cells:
        beside = {key: value for key, value in cell.choices.items() if key != axis}
        for agent in cell.able:
            place = (repr(sorted(beside.items())), alike(agent, found.caliper))
            classes.setdefault(place, []).append((repr(cell.choices.get(axis)), agent.card.trial))
    several = [some for some in classes.values() if len({value for value, _ in some}) > 1]
    return sorted(trial for some in several for _, trial in some)


def _commits(trials: Mapping[str, Any], storage: Storage) -> list[str]:
    """Returns the commits that the agents were trained at, as their last checkpoints say."""
    found = set()
    for trial in trials:
        paths = sorted(storage.trial(trial).glob("checkpoints/*/trial.json"))
        commit = read_record(paths[-1]).get("commit") if paths else None
        if isinstance(commit, str):
            found.add(commit[:12])
    return sorted(found)


def _effects(found: Comparison) -> list[list[Any]]:
    """Returns every effect of the comparison in a row: section, name, and the effect itself."""
    rows: list[list[Any]] = []
    if found.primary is not None:
        rows.append(["The answer", "", "primary", None])
    named: Sequence[tuple[str, str, Sequence[str]]] = (
        ("Counted otherwise", "versions", [one.name for one in found.versions]),
        ("In each stratum", "strata", [cell_name(one.among) for one in found.strata]),
        ("Of each two values", "pairs", [_pair(one.shares) for one in found.pairs]),
        ("Of other axes", "axes", [one.axis for one in found.axes]),
        ("On other outcomes", "outcomes", [one.outcome for one in found.outcomes]),
    )
    for section, key, names in named:
        rows += [[section, name, key, number] for number, name in enumerate(names)]
    return rows


def _pair(shares: Sequence[Any]) -> str:
    return " : ".join(str(one.value) for one in shares)


def _told(value: Any) -> Any:
    """Returns a record whose texts hold no control characters."""
    if isinstance(value, str):
        return value if value.isprintable() else visible_lines(value)
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {_told(key): _told(one) for key, one in value.items()}
    return value
