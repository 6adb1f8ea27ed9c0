"""The shape of the house: packaging, the folder called platform, and which way imports go."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from whichgoal.models import MODELS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "platform"
FILES = sorted(SOURCE.rglob("*.py"))


def name_of(file: Path) -> str:
    parts = ["whichgoal", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(file: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def uses(file: Path, *modules: str) -> set[str]:
    return {
        name
        for name in imports_of(file)
        if any(name == module or name.startswith(module + ".") for module in modules)
    }


def test_the_source_root_is_no_package_that_would_shadow_the_standard_library() -> None:
    assert not (SOURCE / "__init__.py").exists()


def test_the_standard_library_platform_answers_from_the_repository_root() -> None:
    command = "import platform; print(platform.system())"
    out = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == platform.system()


def test_no_file_at_the_source_root_takes_a_standard_library_name() -> None:
    assert not {f.stem for f in SOURCE.glob("*.py")} & set(sys.stdlib_module_names)


def test_packages_in_pyproject_equal_the_folders() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    assert set(declared) == {"whichgoal"} | {name_of(init) for init in SOURCE.rglob("__init__.py")}
    folders = {f.parent for f in FILES if f.parent != SOURCE}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_the_symlink_resolves_to_the_source() -> None:
    link = ROOT / "whichgoal"
    assert link.is_symlink()
    assert link.readlink() == Path("platform")


def test_every_version_is_locked() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert all("==" in line for line in lines)
    assert "torch==2.13.0" in lines
    assert "ray==2.60.0" in lines


HELPS = """\
import runpy, sys
for file in sys.argv[1:]:
    print("==", file, flush=True)
    sys.argv = [file, "--help"]
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        assert not end.code, file
"""
"""One process for all, since most of them load the same for seconds."""


@pytest.mark.slow
def test_every_benchmark_starts() -> None:
    files = sorted(str(file) for file in (ROOT / "benchmarks").glob("*.py"))
    command = [sys.executable, "-c", HELPS, *files]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])}
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    for file, answer in zip(files, told.stdout.split("== ")[1:], strict=True):
        assert answer.startswith(f"{file}\nusage: "), answer


GROUND = {"errors", "redact", "environment", "source", "spec", "explain", "plugins"}
"""Single files that anybody may import: errors, secrets, settings, digests, what a trial is."""
GEOMETRY = {"numba_cache", "envs.contract", "envs.headings", "envs.rng", "envs.lattice"}
"""What is told of worlds to whoever knows no kind of them."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "redact": set(),
    "environment": set(),
    "source": set(),
    "spec": set(),
    "explain": {"spec"},
    "plugins": {"spec"},
    "numba_cache": {"source", "environment"},
    "envs": {"envs.contract", "envs.registry", "envs.grid", "envs.autoreset", "envs.rng"}
    | {"spec", "explain"},
    "envs.autoreset": {"spec"},
    "envs.batched": {"spec"},
    "envs.contract": {"spec", "envs.lattice"},
    "envs.registry": {"spec", "plugins", "envs.contract"},
    "envs.headings": set(),
    "envs.rng": {"numba_cache"},
    "envs.lattice": {"numba_cache", "envs.headings", "envs.rng"},
    "envs.grid": {*GROUND, *GEOMETRY, "envs.registry", "envs.autoreset"} | {"envs.batched"},
    "envs.physics": {*GROUND, *GEOMETRY, "envs.autoreset", "envs.batched"},
    # The suite that a world is tested by ends with the instrument itself. Nothing imports it.
    "envs.testing": {*GEOMETRY, "spec", "envs", "divergence.panels"}
    | {"divergence.probe", "divergence.score"},
    "models": {*GROUND, "numba_cache", "storage"},
    "storage": GROUND,
    "local": GROUND,
    "sweep": {*GROUND, "envs.contract", "envs.registry", "models", "storage"}
    | {"divergence.panels"},
    "rllib": {*GROUND, *GEOMETRY, "envs.registry", "models", "storage", "local"},
    "divergence": {"divergence.score"},
    "divergence.panels": {*GROUND, *GEOMETRY, "envs.registry", "storage"},
    "divergence.probe": {*GROUND, *GEOMETRY, "envs.registry"}
    | {"models", "storage", "sweep", "divergence.panels"},
    "divergence.score": {*GROUND, *GEOMETRY, "envs.registry"}
    | {"models", "storage", "sweep", "divergence.panels", "divergence.probe"},
    "divergence.validate": {*GROUND, "envs.contract", "envs.registry"}
    | {"divergence.panels", "divergence.probe", "divergence.score", "divergence.proxies"},
    "divergence.proxies": {"spec", "envs.contract", "envs.headings", "envs.lattice", "models"}
    | {"divergence.panels", "divergence.probe", "divergence.score"},
    "compare": {*GROUND, "storage", "sweep", "divergence.score"},
    "report": {*GROUND, "envs.contract", "envs.registry", "storage", "sweep", "compare"}
    | {"divergence.panels", "divergence.probe", "divergence.score"}
    | {"divergence.validate", "divergence.proxies"},
    "tracking": {*GROUND, "storage", "sweep", "divergence.panels", "divergence.score"}
    | {"compare", "report"},
    "run": {*GROUND, "envs.contract", "envs.registry", "models", "storage", "sweep", "rllib"}
    | {"local"}
    | {"divergence.panels", "divergence.probe", "divergence.score", "divergence.validate"}
    | {"divergence.proxies", "compare", "report", "tracking"},
    "cli": {*GROUND, "envs.contract", "envs.registry", "storage", "local", "sweep", "compare"}
    | {"report", "tracking", "run"}
    | {"divergence.panels", "divergence.probe", "divergence.score", "divergence.proxies"},
}
"""Room -> the other rooms that its files may import, wherever in a file, and for types, too."""

MODULES = {name_of(file): file for file in FILES}


def ours_in(file: Path) -> set[str]:
    """Returns the modules of ours that a file imports; not the packages on the way to them."""
    found = imports_of(file) & set(MODULES) - {name_of(file)}
    return found - {one for one in found if any(other.startswith(f"{one}.") for other in found)}


def room_of(module: str) -> str:
    parts = module.split(".")[1:]
    while ".".join(parts) not in MAY_IMPORT:
        assert parts, f"{module} stands in no room"
        parts = parts[:-1]
    return ".".join(parts)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_a_file_imports_only_from_the_rooms_that_its_own_may_import(file: Path) -> None:
    own = room_of(name_of(file))
    assert {room_of(module) for module in ours_in(file)} - {own} <= MAY_IMPORT[own]


def test_a_room_imports_none_that_imports_it() -> None:
    above = {room: set(below) for room, below in MAY_IMPORT.items()}
    while free := {room for room in above if not above[room] & set(above)}:
        above = {room: below for room, below in above.items() if room not in free}
    assert not above, "these may import each other, directly or not"


def test_no_two_files_import_each_other() -> None:
    above = {name: ours_in(file) for name, file in MODULES.items()}
    while free := {name for name in above if not above[name] & set(above)}:
        above = {name: needed for name, needed in above.items() if name not in free}
    assert not above, "these import each other, directly or not"


def test_what_lies_outside_of_envs_knows_no_kind_of_world() -> None:
    know = {
        name_of(file).removeprefix("whichgoal.")
        for file in FILES
        if uses(file, "whichgoal.envs.grid", "whichgoal.envs.physics")
        and file.relative_to(SOURCE).parts[0] != "envs"
    }
    assert not know


def test_no_file_is_long() -> None:
    lines = {str(f.relative_to(SOURCE)): len(f.read_text().splitlines()) for f in FILES}
    assert not {name for name, count in lines.items() if count > 400}


def test_few_files_lie_at_the_top() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 8


def test_a_package_imports_nothing_when_it_is_only_passed_through() -> None:
    doors = {"envs", "envs/testing", "models/kernels", "rllib"}  # what others import, and ours
    records = {place.split(":")[0].removeprefix("whichgoal.") for place in MODELS.values()}
    doors |= {record.replace(".", "/") for record in records}  # which start without torch
    by_name = {"divergence", "report"}  # what they offer is loaded when it is asked for
    for init in SOURCE.rglob("__init__.py"):
        if str(init.parent.relative_to(SOURCE)) not in doors:
            assert not uses(init, "whichgoal") or init.parent.name in by_name, init


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("ray.rllib", ["rllib/"]),
        ("ray.tune", ["run/launch.py", "run/session.py", "run/search.py", "run/tune_hooks.py"]),
        ("optuna", ["run/search.py", "run/search_study.py"]),
        (
            "mlflow",
            ["tracking/runs.py"],
        ),  # the others: what to send, when
        ("pytest", ["envs/testing/", "models/testing.py"]),
        ("numba", ["numba_cache.py"]),
        ("fsspec", ["storage/remote_files.py"]),
    ],
)
def test_each_framework_is_imported_in_one_place(module: str, allowed: list[str]) -> None:
    users = {str(f.relative_to(SOURCE)) for f in FILES if uses(f, module)}
    assert users
    assert all(any(user.startswith(place) for place in allowed) for user in users), users


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("envs", ["torch", "ray", "mlflow"]),
        ("models", ["ray", "gymnasium", "minigrid", "mlflow"]),
        ("divergence", ["ray", "mlflow"]),
        ("sweep", ["torch", "ray", "mlflow", "optuna"]),
        ("storage", ["torch", "ray", "mlflow"]),
        ("compare", ["torch", "ray", "mlflow"]),
        ("report", ["torch", "ray", "mlflow"]),
    ],
)
def test_what_a_room_does_without(room: str, never: list[str]) -> None:
    for file in (SOURCE / room).rglob("*.py"):
        assert not uses(file, *never), file


@pytest.mark.parametrize(
    "module",
    [
        "spec",
        "sweep.sweep",
        "sweep.file.check",
        "sweep.plan",
        "sweep.cost",
        "sweep.schema",
        "storage.tables",
        "compare.command",
        "report.tables.comparison",
        "report.frames",
        "cli.main",
        "divergence",
        "envs",
        "models.sizes",
        *(place.split(":")[0].removeprefix("whichgoal.") for place in MODELS.values()),
    ],
)
def test_light_parts_start_without_torch_ray_mlflow_or_numba(module: str) -> None:
    command = (
        f"import sys, whichgoal.{module}; "
        "print(sorted({'torch', 'ray', 'mlflow', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
