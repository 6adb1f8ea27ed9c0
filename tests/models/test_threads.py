"""Work on one torch thread inside a program that has set another number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from whichgoal.models.threads import on_one_thread, one_thread


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_work_is_done_on_one_thread_even_if_it_fails() -> None:
    @one_thread()
    def work() -> None:
        raise RuntimeError(f"{torch.get_num_threads()} thread")

    with pytest.raises(RuntimeError, match="1 thread"):
        work()
    assert torch.get_num_threads() == 3


def test_what_works_step_by_step_does_so_on_one_thread_and_is_closed_when_no_more_is_wanted() -> (
    None
):
    closed = []

    def work():
        try:
            while True:
                yield torch.get_num_threads()
        finally:
            closed.append(True)

    results = on_one_thread(work())
    assert [next(results), torch.get_num_threads(), next(results)] == [1, 3, 1]
    results.close()
    assert closed
    assert torch.get_num_threads() == 3
