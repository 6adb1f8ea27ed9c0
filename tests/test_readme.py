"""What README and docs show is true: code runs, sweep files are such, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from whichgoal.plugins import WORLDS
from whichgoal.sweep.file.check import load
from whichgoal.tracking.runs import CELLS_TAG

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDES = [f"docs/{one}.md" for one in ("scoring", "extending", "models", "engine", "sweeps")]
"""Pages with code that runs by itself, and with sweep files of worlds that are here."""
SHOWN = "\n".join([README, *((ROOT / name).read_text() for name in GUIDES)])


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", SHOWN, re.DOTALL)
    assert found, language
    return found


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # one keeps a policy
    for block in blocks("python"):
        if "ray.rllib" not in block:
            exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("block", [block for block in blocks("python") if "gymnasium" in block])
def test_each_environment_is_made_by_a_process_that_has_imported_nothing_else(block: str) -> None:
    until = block.index("\n", block.index("gymnasium.make("))
    subprocess.run([sys.executable, "-c", block[:until]], check=True, cwd=ROOT)


@pytest.mark.slow
def test_the_python_that_uses_rllib_runs() -> None:
    (block,) = (block for block in blocks("python") if "ray.rllib" in block)
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", "import ray; ray.init(address='local', num_cpus=1)\n" + block]
    subprocess.run(run, check=True, env=environment, cwd=ROOT, timeout=200)


def test_the_sweep_file_is_one(tmp_path: Path) -> None:
    for block in blocks("yaml"):
        file = tmp_path / "sweep.yaml"
        file.write_text(block)
        assert load(file).trials()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_to_files(target: str) -> None:
    assert (ROOT / target).exists()


FOLDERS = ["benchmarks", "cluster", "docs", "platform", "sweeps", "tests"]
FILES = [f"/{f.relative_to(ROOT)}" for name in FOLDERS for f in (ROOT / name).glob("**/*")]
ELSEWHERE = {"leases/", "runs/", *(f"{name}/" for name in FOLDERS)}
"""Folders that a run writes, and those that are looked through."""
NAMING = ["README.md", "cluster/README.md", "benchmarks/README.md"]
NAMING += ["cluster/Dockerfile", "Makefile", "pyproject.toml", ".ci/run", "CHANGELOG.md", *GUIDES]
NAMING += [
    f"docs/{one}.md" for one in ("index", "judged", "compared", "worlds", "reading", "related")
]


@pytest.mark.parametrize("name", NAMING)
def test_every_file_and_folder_that_is_named_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    named = re.findall(rf"(?<![\w/.:-])(?:{'|'.join(FOLDERS)})/\w[\w./-]*\b", text)
    named += re.findall(r"`([\w/]+(?:\.py|\.yaml|/))`", text)
    for one in set(named) - ELSEWHERE:
        assert any(file.endswith(f"/{one.rstrip('/')}") for file in FILES), one


@pytest.mark.parametrize("name", NAMING)
def test_every_module_and_public_name_that_is_named_exists(name: str) -> None:
    for named in re.findall(
        r"(?<![\w/.-])whichgoal((?:\.[A-Za-z_]\w*)+)", (ROOT / name).read_text()
    ):
        if f"whichgoal{named}" in (WORLDS, CELLS_TAG):
            continue  # a group of entry points, a tag of MLflow's runs
        place = named.replace(".", "/")
        if not any(f"/platform{place}{end}" in FILES for end in (".py", "/__init__.py")):
            package, attribute = place.rsplit("/", 1)
            assert attribute in (ROOT / f"platform{package}/__init__.py").read_text()


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|\n)make (?:PYTHON=\S+ )?(\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) < 200
