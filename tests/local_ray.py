"""A small Ray of a test module's own, for what is trained in the test's process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import torch


@contextmanager
def local_ray(cpus: int = 1) -> Iterator[None]:
    """Runs Ray with so many cores, and torch with one thread."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    torch.set_num_threads(1)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()
