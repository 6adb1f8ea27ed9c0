"""Keys and values of older versions are refused with what is to be written instead."""

from pathlib import Path
from typing import Literal

import pytest

from whichgoal.spec import Fraction, Spec
from whichgoal.sweep.file.sections import read_record
from whichgoal.sweep.file.yaml_file import SweepError, read


class Lines(Spec):
    trained: Fraction = 0.9
    capability: Fraction = 0.6


class Battery(Spec):
    """The battery, as far as version 2 has changed what files say."""

    version: Literal[2] = 2
    thresholds: Lines = Lines()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "{thresholds: {competence: 0.6}}",
            "1:24: battery.thresholds: unknown key 'competence'; allowed: capability; "
            "which is success under the shift, no longer how short the paths are",
        ),
        (
            "{version: 1}",
            "1:20: battery.version: 1 given; allowed: 2; "
            "agents are played again, none is trained again: write version: 2 or leave it out",
        ),
        ("{version: 3}", "1:20: battery.version: 3 given; allowed: 2"),
        (
            "{thresholds: {competense: 0.6}}",
            "1:24: battery.thresholds: unknown key 'competense'; allowed: capability, trained",
        ),
    ],
)
def test_what_a_battery_was_called_before_is_told_by_its_name_of_today(
    tmp_path: Path, given: str, said: str
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"battery: {given}\n")
    document = read(path)
    read_record(document, "battery", Battery)
    with pytest.raises(SweepError) as error:
        document.refuse_if_wrong()
    assert error.value.problems == [f"{path}:{said}"]
