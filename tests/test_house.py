"""The shape of the house: packaging, the folder called platform, and which way imports go."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "platform"
FILES = sorted(SOURCE.rglob("*.py"))
TRAINING = ["whichgoal.rllib", "whichgoal.launch", "whichgoal.ray_session"]


def name_of(file: Path) -> str:
    parts = ["whichgoal", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path, *, at_module_level_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text())
    nodes = tree.body if at_module_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def uses(file: Path, *modules: str) -> set[str]:
    return {
        name
        for name in imports_of(file)
        if any(name == module or name.startswith(module + ".") for module in modules)
    }


def files_of(part: str) -> list[Path]:
    folder, single = SOURCE / part, SOURCE / f"{part}.py"
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [single]
    assert files, part
    return files


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


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda f: f.stem)
def test_every_benchmark_starts(file: Path) -> None:
    command = [sys.executable, str(file), "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("usage: ")


@pytest.mark.parametrize("file", ["spec.py", "errors.py"])
def test_what_all_others_build_on_imports_nothing_of_ours(file: str) -> None:
    assert not uses(SOURCE / file, "whichgoal")


@pytest.mark.parametrize(
    ("part", "never"),
    [
        ("envs", ["whichgoal.models", "whichgoal.divergence", "whichgoal.rllib", "torch"]),
        ("models", ["whichgoal.envs", "whichgoal.divergence", "whichgoal.rllib", "gymnasium"]),
        (
            "divergence",
            [*TRAINING, "whichgoal.tracking"],
        ),
        (
            "checkpoint",
            [*TRAINING, "whichgoal.tracking"],
        ),
        ("tables", ["torch", "ray"]),
        ("compare", ["torch", "ray"]),
        ("sweep", ["torch", "ray", "mlflow"]),
        ("sweep_groups", ["torch", "ray", "mlflow", "optuna"]),
        ("plan", ["torch", "ray", "mlflow"]),
        ("cost", ["torch", "ray", "mlflow"]),
        ("schema", ["torch", "ray", "mlflow"]),
    ],
)
def test_imports_go_one_way(part: str, never: list[str]) -> None:
    for file in files_of(part):
        assert not uses(file, *never), file


def test_reading_a_sweep_file_goes_one_way_from_text_to_trials() -> None:
    parts = {name_of(file): file for file in FILES if file.stem.startswith("sweep")}
    above = {name: set(parts) & imports_of(file) for name, file in parts.items()}
    while free := {name for name in above if not above[name] & set(above)}:
        above = {name: needed for name, needed in above.items() if name not in free}
    assert not above, "these import each other, directly or not"


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("ray.rllib", {"rllib"}),
        ("ray.tune", {"launch.py", "ray_session.py", "search.py", "tune_hooks.py"}),
        ("optuna", {"search.py", "search_study.py"}),
        ("mlflow", {"tracking_runs.py"}),  # tracking*: what to send, when, in which words
        ("numba", {"numba_cache.py"}),
    ],
)
def test_each_framework_is_imported_in_one_place(module: str, allowed: set[str]) -> None:
    users = {f.relative_to(SOURCE).parts[0] for f in FILES if uses(f, module)}
    assert users <= allowed


@pytest.mark.parametrize(
    "module",
    [
        "sweep",
        "sweep_check",
        "plan",
        "cost",
        "schema",
        "tables",
        "compare",
        "cli",
        "spec",
        "models.sizes",
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
