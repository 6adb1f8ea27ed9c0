"""`whichgoal sheet`: a picture of every panel."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from whichgoal.cli.main import main


def test_a_world_is_drawn_panel_by_panel(tmp_path: Path) -> None:
    file = tmp_path / "new" / "sheet.png"
    assert main(["sheet", "corridor_coin", "-o", str(file)]) == 0
    width, height = Image.open(file).size
    assert width > 5 * height


def test_what_cannot_be_drawn_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["sheet", "-o", str(tmp_path / "sheet.jpg")]) == 2
    assert "allowed: a file that ends in .png, .svg, .pdf" in capsys.readouterr().err
    assert main(["sheet", "corridor"]) == 2
    assert "corridor_coin" in capsys.readouterr().err
