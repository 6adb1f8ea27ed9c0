"""The wheel, installed into a clean environment: all of it is there, and it needs no repository."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from whichgoal.envs.rng import below

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "platform"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
TINY = """\
name: tiny
question: Does it run without the repository?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 10_000}
  train: {env_steps: 512, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 1}
axes:
  world.agreement.arrow: [1.0, 0.5]
battery: {episodes: 16}
limits: {max_concurrent: 1}
"""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(*command: object, place: Path, **environment: str) -> str:
    """Runs a command in a folder, where nothing but its own Python says where modules lie."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    out = subprocess.run(
        [*map(str, command)],
        cwd=place,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip wheel .` makes of a copy of the sources: building leaves files beside them."""
    place = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(SOURCE, place / "platform", ignore=shutil.ignore_patterns("__pycache__"))
    run(*PIP, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", "dist", place=place)
    (built,) = (place / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment of its own, in which the wheel alone is installed.

    Other packages are those of this environment, by their path: a .pth file in a folder that is
    itself named by one, such as that of an editable install, is not read.
    """
    place = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", place, place=place)
    python = place / "bin" / "python"
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel, place=place)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", place=place)
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site) / "packages.pth").write_text("\n".join(packages))
    return place / "bin"


def compiled(installed: Path, place: Path) -> Path:
    """Returns a cache of compiled functions that an installation shares with this process.

    The sources are the same, but numba keeps what it compiles by the path of the source's folder.
    """
    from numba.core.caching import UserProvidedCacheLocator

    assert below.py_func is not None  # which loads numba, and so names the folder
    shared = Path(os.environ["NUMBA_CACHE_DIR"])
    own = place / shared.name
    own.mkdir()
    ours = Path(inspect.getfile(below.py_func)).parents[1]
    for folder in {file.parent.relative_to(SOURCE) for file in SOURCE.rglob("*.py")}:
        names = [
            UserProvidedCacheLocator.get_suitable_cache_subpath(str(root / folder / "_"))
            for root in (ours, installed)
        ]
        (shared / names[0]).mkdir(exist_ok=True)
        (own / names[1]).symlink_to(shared / names[0])
    return own


def with_what_they_need(lines: Iterable[str]) -> set[str]:
    """Returns the names of these requirements, and of all that they need here, directly or not."""
    waiting = [Requirement(line) for line in lines]
    met: set[tuple[str, str]] = set()
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        for extra in {"", *needed.extras} - {of for other, of in met if other == name}:
            met.add((name, extra))
            under = map(Requirement, (requires(name) or []) if name != "whichgoal" else [])
            waiting += [r for r in under if not r.marker or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in met} - {"whichgoal"}  # whose extras are among the lines


def test_every_package_that_it_needs_is_locked() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    locked = {canonicalize_name(line.split("==")[0]) for line in lines}
    needed = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    assert with_what_they_need(needed) <= locked


def test_every_package_that_it_imports_is_named_as_one_that_it_needs() -> None:
    """Those that only tests need are in this environment, too, and would not be missed.

    Suites for tests of other packages say themselves that they need pytest.
    """
    named = {Requirement(line).name for line in PROJECT["dependencies"]}
    modules = {file: file.relative_to(SOURCE).with_suffix("") for file in SOURCE.rglob("*.py")}
    text = "".join(file.read_text() for file, way in modules.items() if "testing" not in way.parts)
    imported = set(re.findall(r"(?m)^ *(?:import|from) (\w+)", text)) - {"whichgoal"}
    for module, packages in packages_distributions().items():
        if module in imported and module != "pydantic_core":  # which is a part of pydantic
            assert named & set(packages), module


@pytest.mark.slow
def test_it_holds_every_package_and_all_data(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("whichgoal/")}
    here = [file for end in ("py", "json", "js", "css") for file in SOURCE.rglob(f"*.{end}")]
    assert held == {f"whichgoal/{file.relative_to(SOURCE)}" for file in here}
    packages = {str(Path(name).parent).replace("/", ".") for name in held if name.endswith(".py")}
    assert packages == set(PYPROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.slow
@pytest.mark.timeout(600)  # where nothing is compiled yet
def test_it_runs_scores_and_compares_a_sweep_from_an_empty_folder(
    clean: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    root = run(
        clean / "python", "-c", "from whichgoal import source; print(source.ROOT)", place=empty
    )
    assert Path(root).is_relative_to(clean.parent)
    cache = {"NUMBA_CACHE_DIR": str(compiled(Path(root), tmp_path))}
    (empty / "tiny.yaml").write_text(TINY)
    assert "2/2 trials done" in run(clean / "whichgoal", "run", "tiny.yaml", place=empty, **cache)
    (trial, _) = (empty / "runs" / "trials").iterdir()
    (card,) = json.loads(run(clean / "whichgoal", "score", trial, "--json", place=empty, **cache))[
        "scores"
    ]
    assert card["verdict"] == "untrained"
    told = run(clean / "whichgoal", "compare", "runs", "--json", place=empty, **cache)
    assert "Does it run without the repository?" in told
