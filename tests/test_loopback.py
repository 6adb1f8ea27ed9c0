"""A run on this machine opens no port to others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SESSION = """\
import sys
sys.path.insert(0, "tests")
import os
from listening import descendants, outer_listeners
from whichgoal.launch import session
from whichgoal.sweep_spec import LimitsSpec, ResourcesSpec
with session(ResourcesSpec(), LimitsSpec(), trials=1):
    import ray
    outer = ray.remote(lambda: os.getpid())
    ray.get(outer.remote())
    found = descendants(os.getpid())
    assert len(found) > 4, found
    print(outer_listeners(found))
"""


@pytest.mark.slow
def test_a_ray_of_our_own_listens_on_loopback_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SESSION], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{}"
