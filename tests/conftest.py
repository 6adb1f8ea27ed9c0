"""The order of tests: files that take longest come first, so that none is left alone at the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("long", max_examples=1_000_000, deadline=None)

LONGEST = [
    Path(__file__).parent / file
    for file in (
        "run/test_faults.py",
        "cluster/test_cluster_job.py",
        "run/test_validate.py",
        "run/test_launch.py",
        "run/test_search.py",
        "run/test_remote_run.py",
        "test_second_kind.py",
        "models/fused/test_network.py",
        "envs/test_worlds.py",
        "divergence/probe/test_scripted.py",
        "rllib/test_training.py",
    )
]
"""These are begun first, in this order: a file is one process's, and the last ones are short."""
assert all(file.is_file() for file in LONGEST), "a file that takes long has another name now"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, then those with the most slow tests.

    A file's tests stay together and in order.
    """
    place = {file: number for number, file in enumerate(LONGEST)}
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (place.get(item.path, len(place)), -slow[item.path]))
