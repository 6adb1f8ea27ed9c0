"""An episode in pictures: as a GIF, or as a strip of pictures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image


def write_gif(frames: list[NDArray[np.uint8]], path: Path | IO[bytes], fps: int) -> None:
    """Writes pictures as an endless GIF; the last one stays for a second and a half.

    Raises:
        ValueError: It cannot be written.
    """
    pictures = [_image(frame).quantize(64) for frame in frames]
    durations = [1000 // fps] * (len(pictures) - 1) + [1500]
    _save(
        pictures[0],
        path,
        "GIF",
        {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0},
    )


def write_strip(frames: list[NDArray[np.uint8]], path: Path, count: int) -> None:
    """Writes `count` pictures, evenly spaced from first to last, side by side as one PNG.

    Raises:
        ValueError: `path` cannot be written.
    """
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    height, gap = frames[0].shape[0], 8
    space = np.full((height, gap, 3), 255, np.uint8)
    row: list[NDArray[np.uint8]] = []
    for index in chosen:
        row += [frames[index], space]
    _save(_image(np.concatenate(row[:-1], axis=1)), path, "PNG", {"optimize": True})


def _image(frame: NDArray[np.uint8]) -> Image:
    from PIL import Image

    return Image.fromarray(frame)


def _save(image: Image, path: Path | IO[bytes], kind: str, options: Mapping[str, Any]) -> None:
    try:
        image.save(path, format=kind, **options)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from None
