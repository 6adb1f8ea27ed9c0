"""Figures, drawn with matplotlib, which is imported only where one is drawn."""

from __future__ import annotations

from pathlib import Path


def check(file: Path) -> None:
    """Raises `ValueError` where no figure can be written to `file`; asked before any work."""
    from matplotlib.figure import Figure

    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if file.suffix.removeprefix(".").lower() not in kinds:
        raise ValueError(f"--figure {file} given; allowed: a file that ends in {', '.join(kinds)}")
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{file} cannot be written: there is no folder {file.parent}")
