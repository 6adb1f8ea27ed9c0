"""The order of tests: files in which much takes long come first, so that none is left alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings

settings.register_profile("long", max_examples=1_000_000, deadline=None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files with the most slow tests first; a file's tests stay together and in order."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
