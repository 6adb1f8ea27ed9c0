"""What the stages of a trial recorded, read back: what its markers name, checksums verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.explain import describe
from whichgoal.spec import BatterySpec, cut_short
from whichgoal.storage.files import DamagedError
from whichgoal.storage.ledger import Stage, TrialFolder
from whichgoal.storage.reading import CARD_BYTES, read_json, read_json_text

if TYPE_CHECKING:
    import pyarrow as pa

EPISODES, SCORES, CARD = "episodes.parquet", "scores.parquet", "scorecard.json"
ALONG_SCORES, ALONG_CARDS = "along.parquet", "along.json"
"""The files of a trial's folder that the stages write."""


def episodes(trial: TrialFolder) -> pa.Table:
    """Returns the episodes that were probed.

    Raises:
        ValueError: They are not those that the stage recorded, or no episodes; one line.
    """
    from whichgoal.storage import tables

    return tables.read(trial.product("probe", EPISODES), tables.EPISODES)


def scores(trial: TrialFolder, stage: Stage = "score", name: str = SCORES) -> pa.Table:
    """Returns the scores that were made. Raises as `episodes` does."""
    from whichgoal.storage import tables

    return tables.read(trial.product(stage, name), tables.SCORES)


def card(trial: TrialFolder) -> Scorecard:
    """Returns the scorecard that was made.

    Raises:
        ValueError: It is not the one that the stage recorded, is damaged, or of a battery that
            this code does not know; one line.
    """
    path = trial.product("score", CARD)
    try:
        text = read_json_text(path, CARD_BYTES)
    except FileNotFoundError:
        raise DamagedError(f"{path} does not exist") from None
    known = get_args(BatterySpec.model_fields["version"].annotation)
    version = _version(text)
    if version is not None and version not in known:
        raise ValueError(
            f"{path} is of battery version {version}, which this code does not know (it knows "
            f"{', '.join(map(str, known))}); whichgoal run FILE scores it anew"
        )
    try:
        return Scorecard.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(
            f"{path} is not a scorecard of this version "
            f"({cut_short(describe(error, Scorecard))}); "
            f"whichgoal score {trial.path} scores it anew"
        ) from None


def cards_along(trial: TrialFolder) -> list[tuple[str, Scorecard]]:
    """Returns the scorecards of a trial's checkpoints, each with its manifest's checksum.

    Raises:
        ValueError: There are none, or they cannot be read; one line.
    """
    path = trial.product("along", ALONG_CARDS)
    records: Any = read_json(path, CARD_BYTES)
    try:
        found = [(str(one["manifest"]), Scorecard.model_validate(one["card"])) for one in records]
    except ValidationError as error:
        told = cut_short(describe(error, Scorecard))
        raise ValueError(f"{path} holds no scorecards of this version ({told})") from None
    except (KeyError, TypeError):
        raise ValueError(f"{path} is damaged: it holds no list of scorecards") from None
    return found


def _version(text: str) -> int | None:
    """Returns the battery version that a scorecard names, None where it names none."""
    try:
        version = json.loads(text)["battery"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return version if isinstance(version, int) else None
