"""One torch thread while our work is done; whoever calls us keeps the number that they have set.

Two threads are many times slower than one whenever the other core is busy, and they round
differently.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def one_thread() -> Iterator[None]:
    """Sets torch to one thread, and back to what it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_one_thread(work: Generator[T, None, None]) -> Iterator[T]:
    """Yields what `work` does; it works on one thread, and between its results all is as before."""
    with closing(work):
        while True:
            try:
                with one_thread():
                    result = next(work)
            except StopIteration:
                return
            yield result
