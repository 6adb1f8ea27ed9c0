"""A trained agent on disk: weights (safetensors), trial (JSON), manifest of checksums (JSON).

Nothing in a checkpoint is code, and loading runs none. A checkpoint folder is written beside its
place and renamed into it, so it is whole, the old one or the new. No Ray here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from whichgoal import source
from whichgoal.models.agent import Agent
from whichgoal.models.policy import Policy
from whichgoal.models.registry import architecture_named, package_of
from whichgoal.models.sight import Palette
from whichgoal.spec import TrialSpec, cut_short
from whichgoal.storage.atomic import locate, replacing_folder
from whichgoal.storage.reading import (
    FILE_BYTES,
    MIB,
    RECORD_BYTES,
    parse_json,
    read_bytes,
    read_json,
    visible,
)

FORMAT = "whichgoal checkpoint"
VERSION = 1
WEIGHTS, TRIAL, MANIFEST = "weights.safetensors", "trial.json", "manifest.json"
FILES = (WEIGHTS, TRIAL, MANIFEST)
"""All that is in a checkpoint's folder."""
_MOST_CODES, _MOST_ACTIONS = 1_000_000, 10_000
"""Numbers in an observation, and discrete actions: more would be no environment of ours."""
_WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
_WIDTHS |= {"I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of a number of each type that weights may have."""
_PACKAGES = ("torch", "numpy", "ray", "gymnasium", "minigrid", "numba", "safetensors", "whichgoal")


class CheckpointError(ValueError):
    """A checkpoint is damaged, or is not one of ours. The message is one line."""


class MissingPackage(CheckpointError):
    """A checkpoint is sound, but its network is of a package that is not installed here."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        path: Its folder.
        spec: The trial.
        env_steps: How many env steps the agent had been trained for.
        parameters: Trainable parameters.
        record: All of `trial.json`: also trunk parameters, palette, versions, commit.
        policy: The agent.
    """

    path: Path
    spec: TrialSpec
    env_steps: int
    parameters: int
    record: dict[str, Any]
    policy: Policy


def save(
    path: Path, agent: Agent, spec: TrialSpec, env_steps: int, palette: Palette | None
) -> Path:
    """Writes a checkpoint folder, replacing one that stands there, and returns its path."""
    record = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec.model_dump(mode="json"),
        "trial_id": spec.id,
        "env_steps": env_steps,
        **{name: number for name, number in asdict(agent.size).items() if name != "capacity"},
        "view": agent.sight.view,
        "obs_shape": list(agent.sight.obs_shape),
        "num_actions": agent.policy.out_features,
        "palette": None if palette is None else [list(map(int, code)) for code in palette],
        "package": package_of(spec.model.arch),
        "versions": _versions(),
        "commit": _commit(),
    }
    weights = {k: v.detach().cpu().contiguous() for k, v in agent.state_dict().items()}
    files = {
        WEIGHTS: save_tensors(weights, metadata={"format": FORMAT}),
        TRIAL: (json.dumps(record, indent=1) + "\n").encode(),
    }
    return write_folder(path, files)


def load(path: Path | str) -> Checkpoint:
    """Loads a checkpoint; executes nothing from it.

    Raises:
        CheckpointError: A file is missing, truncated, changed, or not what it says it is.
    """
    path = Path(path)
    record = _record(path, read_folder(path, (TRIAL,))[TRIAL])
    try:
        spec = TrialSpec.of_record(record["spec"])
        most = 64 * spec.model.capacity + 16 * MIB  # of a number for each parameter, far too much
        data = read_folder(path, (WEIGHTS,), min(most, FILE_BYTES))[WEIGHTS]
        given = _shapes(path, data)
        agent = _agent(path, record, spec, data)
        env_steps, parameters = _whole(record, "env_steps"), _whole(record, "parameters")
    except CheckpointError:
        raise
    except _NOT_OURS as error:
        raise CheckpointError(f"{path}/{TRIAL}: not a trial of ours: {_line(error)}") from error
    own = {name: tuple(part.shape) for name, part in agent.state_dict().items()}
    if own != given:
        wrong = sorted(k for k in own.keys() | given.keys() if own.get(k) != given.get(k))
        raise CheckpointError(
            f"{path}/{WEIGHTS}: {cut_short(wrong[0], 80)} is {given.get(wrong[0])}, "
            f"but the trial's network has {own.get(wrong[0])}"
        )
    try:
        agent.load_state_dict(load_tensors(data))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _no_weights(path, _line(error)) from error
    return Checkpoint(path, spec, env_steps, parameters, record, Policy(agent))


_NOT_OURS = (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError, MemoryError)
"""What making an agent of a record raises that is none."""


def _agent(path: Path, record: dict[str, Any], spec: TrialSpec, weights: bytes) -> Agent:
    """Returns the network that a checkpoint's trial says, its weights not yet read.

    What it takes in memory is bounded before by the size of the weights that are to fill it.
    """
    _check_package(path, record.get("package"), spec.model.arch)
    architecture_named(spec.model.arch)
    shape, actions = record["obs_shape"], _whole(record, "num_actions")
    if spec.model.capacity > len(weights):
        raise ValueError(
            f"capacity {spec.model.capacity:,} in a checkpoint whose weights have {len(weights):,} "
            f"bytes"
        )
    sides = [n for n in shape if type(n) is int and n > 0]
    if len(sides) != len(shape) or len(shape) > 3 or math.prod(sides) > _MOST_CODES:
        raise ValueError(f"obs_shape {cut_short(str(shape), 80)}; allowed: at most {_MOST_CODES:,}")
    if not 0 < actions <= _MOST_ACTIONS:
        raise ValueError(f"num_actions {actions}; allowed: 1 to {_MOST_ACTIONS:,}")
    return Agent(shape, actions, record["palette"], spec.model, record["view"])


def _shapes(path: Path, data: bytes) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of what a safetensors file holds, by its header, read as JSON here.

    The file is its header's length, the header, and the tensors, which must fill the rest exactly;
    so no tensor takes more memory than the file. What else there is to be checked its library does.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(RECORD_BYTES, len(data) - 8):
        raise _no_weights(path, f"a header of {length:,} bytes in a file of {len(data):,}")
    try:
        header = parse_json(path / WEIGHTS, data[8 : 8 + length])
        about = {name: one for name, one in header.items() if name != "__metadata__"}
        shapes = {name: tuple(one["shape"]) for name, one in about.items()}
        if any(type(n) is not int or n < 0 for shape in shapes.values() for n in shape):
            raise ValueError("a shape that is none")
        sizes = {k: math.prod(shapes[k]) * _WIDTHS[one["dtype"]] for k, one in about.items()}
        if sum(sizes.values()) != len(data) - 8 - length:
            raise ValueError(
                f"tensors of {sum(sizes.values()):,} bytes in {len(data) - 8 - length:,}"
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_weights(path, _line(error)) from error
    return shapes


def _no_weights(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path}/{WEIGHTS}: not safetensors ({reason}); nothing else is ever loaded"
    )


def _whole(record: dict[str, Any], key: str) -> int:
    """Returns a whole number of a record that 64 bits hold. Raises `ValueError`, `KeyError`."""
    number = record[key]
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"{key} {cut_short(repr(number), 60)}; allowed: a whole number")
    return number


def _record(path: Path, data: bytes) -> dict[str, Any]:
    """Returns what `trial.json` holds; `CheckpointError` where it is not of our format."""
    try:
        record: dict[str, Any] = parse_json(path / TRIAL, data)
        given = record["format"], record["version"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}/{TRIAL}: not a trial of ours: {_line(error)}") from error
    if given != (FORMAT, VERSION):
        raise CheckpointError(
            f"{path}/{TRIAL}: format {cut_short(repr(given[0]), 60)} version "
            f"{cut_short(repr(given[1]), 60)}; allowed: {FORMAT!r} version {VERSION}"
        )
    return record


def _check_package(path: Path, package: str | None, arch: str) -> None:
    """Raises `MissingPackage` where the network's package is recorded and not to be had."""
    if package is None:
        return
    try:
        architecture_named(arch)
    except ValueError as error:
        needed = f"its model needs package {package}: {_line(error)}"
        raise MissingPackage(f"{path}/{TRIAL}: {needed}") from error


def final(folder: Path | str, spec: TrialSpec) -> Checkpoint | None:
    """Returns the checkpoint that the training of a trial ended with, or None if none is sound.

    It is the one that names itself, the batch in which training came to its end and this trial,
    all of it; whatever else lies in the folder is none, however new.

    Args:
        folder: The trial's folder.
        spec: The trial.

    Raises:
        MissingPackage: Its network is of a package that is not installed here.
    """
    first = spec.train.env_steps
    for path in sorted((Path(folder) / "checkpoints").glob("[0-9]*")):
        if not (path.name.isdecimal() and first <= int(path.name) < first + spec.train.batch_size):
            continue
        try:
            found = load(path)
        except MissingPackage:
            raise
        except CheckpointError:
            continue
        if found.spec == spec and found.env_steps == int(path.name):
            return found
    return None


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """Writes files and a manifest of their checksums as one folder: all of it or nothing."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = (json.dumps({"sha256": sums}, indent=1) + "\n").encode()
    with replacing_folder(path) as new:
        for name, data in {**files, MANIFEST: manifest}.items():
            (new / name).write_bytes(data)
    return path


def read_folder(path: Path, names: tuple[str, ...], most: int = RECORD_BYTES) -> dict[str, bytes]:
    """Returns the named files of a folder written by `write_folder`, checksums verified.

    Args:
        path: The folder.
        names: The files.
        most: Bytes that each may have.

    Raises:
        CheckpointError: A file is missing, larger than that, or differs from its checksum.
    """
    path = locate(path)
    try:
        sums = read_json(path / MANIFEST)["sha256"]
        expected = {name: sums[name] for name in names}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no checkpoint here ({MANIFEST} is missing)") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}/{MANIFEST}: damaged ({_line(error)})") from error
    files = {}
    for name in names:
        try:
            files[name] = read_bytes(path / name, most)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}/{name}: {_line(error)}") from error
        if hashlib.sha256(files[name]).hexdigest() != expected[name]:
            raise CheckpointError(f"{path}/{name}: damaged (its checksum is not the manifest's)")
    return files


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {visible(cut_short(str(error)))}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def _commit() -> str | None:
    """Returns the commit that this source tree stands at, where it is a git checkout."""
    if not (source.ROOT.parent / ".git").exists():
        return None
    try:
        shown = subprocess.run(
            ["git", "-C", str(source.ROOT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return shown.stdout.strip() or None
