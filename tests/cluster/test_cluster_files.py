"""The files of cluster/ are what Ray, KubeRay, Docker and MLflow take, and agree."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = json.loads((Path(__file__).parents[1] / "cluster_schemas.json").read_text())["$defs"]
README = (CLUSTER / "README.md").read_text()
BIN = Path(sys.executable).parent


def load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CLUSTER / name).read_text()))


def check(record: Any, schema: str) -> None:
    """Raises `jsonschema.ValidationError` unless a record is as one of our schemas says."""
    jsonschema.validate(record, {"$ref": f"#/$defs/{schema}", "$defs": SCHEMAS})


def keys_of(record: Any) -> list[tuple[str, ...]]:
    """Returns the path of every key of nested mappings and lists, deepest last."""
    if isinstance(record, dict):
        below = [(key, *path) for key, value in record.items() for path in keys_of(value)]
        return [(key,) for key in record] + below
    if isinstance(record, list):
        return [(str(i), *path) for i, value in enumerate(record) for path in keys_of(value)]
    return []


# Ray's version ---------------------------------------------------------------------------------


def test_ray_is_of_one_version_everywhere() -> None:
    pinned = version("ray")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    found = {
        "pyproject.toml": [one.split("==")[1] for one in wanted if one.startswith("ray[")],
        "constraints.txt": re.findall(r"(?m)^ray==(.+)$", (ROOT / "constraints.txt").read_text()),
        "Dockerfile": re.findall(r"RAY_VERSION=(\S+)", (CLUSTER / "Dockerfile").read_text()),
        "README.md": re.findall(r"(?:ray-|version \()(\d+\.\d+\.\d+)", README),
    }
    for name in ("ray-cluster.yaml", "raycluster.yaml", "rayjob.yaml"):
        text = (CLUSTER / name).read_text()
        found[name] = re.findall(r"(?:whichgoal:ray-|rayVersion: \")(\d+\.\d+\.\d+)", text)
        assert text.count("image: REGISTRY") <= len(found[name])
    assert {name: set(versions) for name, versions in found.items()} == {
        name: {pinned} for name in found
    }


# runtime_env -----------------------------------------------------------------------------------


def check_runtime_env(record: dict[str, Any]) -> None:
    """Raises if Ray would refuse a runtime_env, or silently ignore a part of it."""
    from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig

    unknown = set(record) - RuntimeEnv.known_fields
    unknown |= set(record.get("config", {})) - RuntimeEnvConfig.known_fields
    if unknown:
        raise ValueError(f"Ray ignores {sorted(unknown)}")
    RuntimeEnv(**record)


def test_the_runtime_env_is_one_that_ray_knows() -> None:
    check_runtime_env(load("runtime_env.yaml"))


@pytest.mark.parametrize(
    "wrong",
    [{"env_var": {"A": "1"}}, {"config": {"timeout": 1}}, {"env_vars": {"A": 1}}],
)
def test_a_runtime_env_with_a_slip_is_noticed(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        check_runtime_env({**load("runtime_env.yaml"), **wrong})


def test_the_working_dir_stays_far_below_rays_limit() -> None:
    from ray._private.runtime_env.packaging import create_package, get_uri_for_directory

    place = ROOT / "tests" / "__pycache__" / "working_dir.zip"
    place.parent.mkdir(exist_ok=True)
    try:
        get_uri_for_directory(str(ROOT), include_gitignore=True, excludes=[])
        create_package(str(ROOT), place, include_gitignore=True, excludes=[])
        assert place.stat().st_size < 10 * 2**20
        sent = set(zipfile.ZipFile(place).namelist())
        assert {str(f.relative_to(ROOT)) for f in (ROOT / "platform").rglob("*.py")} <= sent
    finally:
        place.unlink(missing_ok=True)


# `ray up` --------------------------------------------------------------------------------------


def test_the_cluster_file_is_one_that_ray_up_takes() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = load("ray-cluster.yaml")
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["available_node_types"]["head"]["resources"] == {"CPU": 0}
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepared, "max_worker": 3})


def test_no_port_of_the_cluster_file_is_open_without_a_token() -> None:
    config = load("ray-cluster.yaml")
    starts = [
        line
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for line in config[key]
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "/home/ray/.ray/auth_token" in config["file_mounts"]


def test_every_node_of_the_cluster_file_may_use_the_storage() -> None:
    """Ray gives its default instance profile to the head only."""
    kinds = load("ray-cluster.yaml")["available_node_types"]
    profiles = {name: kind["node_config"]["IamInstanceProfile"] for name, kind in kinds.items()}
    assert profiles == {
        "head": {"Name": "whichgoal-head"},
        "worker": {"Name": "whichgoal-worker"},
    }
    made = re.search(r"for name in (.+); do", README)
    assert made
    assert set(made[1].split()) == {profile["Name"] for profile in profiles.values()}
    assert all(kind["node_config"]["SubnetIds"] == ["SUBNET"] for kind in kinds.values())
    policies = [json.loads(text) for text in re.findall(r"(?m)^\w+='(\{.+\})'$", README)]
    assert [len(policy["Statement"]) for policy in policies] == [1, 1, 1]


def test_the_environment_of_jobs_comes_to_the_nodes_before_their_containers() -> None:
    from ray.autoscaler.sdk import get_docker_host_mount_location

    config = load("ray-cluster.yaml")
    (mounted,) = (k for k, v in config["file_mounts"].items() if v == "~/whichgoal.env")
    place = get_docker_host_mount_location(config["cluster_name"]) + mounted
    assert f"--env-file={place}" in config["docker"]["run_options"]
    assert "cluster/example.env ~/whichgoal.env" in README
    lines = (CLUSTER / "example.env").read_text().splitlines()
    assert "MLFLOW_TRACKING_URI=http://mlflow.example.org:5000" in lines
    for line in lines:  # Docker takes the rest of the line as it is
        assert line.startswith("#") or re.fullmatch(r"[A-Z_]+=[^'\"\s]+", line), line
        assert not re.search(r"(KEY|SECRET|PASSWORD|TOKEN)\w*=.", line), line


# KubeRay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_the_manifests_are_of_kuberay(name: str) -> None:
    check(load(f"{name}.yaml"), name)


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_a_misspelt_key_anywhere_in_a_manifest_is_noticed(name: str) -> None:
    free = {"metadata", "rayStartParams", "requests", "limits"}
    paths = [path for path in keys_of(load(f"{name}.yaml")) if not free & set(path[:-1])]
    assert len(paths) > 30
    for path in paths:
        record = load(f"{name}.yaml")
        place: Any = record
        for key in path[:-1]:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[f"{path[-1]}s"] = place.pop(path[-1])
        with pytest.raises(jsonschema.ValidationError):
            check(record, name)


def cluster_specs() -> list[dict[str, Any]]:
    return [load("raycluster.yaml")["spec"], load("rayjob.yaml")["spec"]["rayClusterSpec"]]


def test_no_trial_runs_on_a_head_and_every_cluster_wants_a_token() -> None:
    for spec in cluster_specs():
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert spec["authOptions"] == {"mode": "token"}


def test_both_manifests_describe_the_same_cluster() -> None:
    one, two = cluster_specs()
    assert one == two


def test_a_job_that_loses_its_head_is_run_again_in_the_same_environment() -> None:
    spec = load("rayjob.yaml")["spec"]
    assert 1 <= spec["backoffLimit"] <= 2  # KubeRay tries a bad sweep file as often
    assert yaml.safe_load(spec["runtimeEnvYAML"]) == load("runtime_env.yaml")
    words = shlex.split(spec["entrypoint"])
    assert words[:2] == ["whichgoal", "run"]
    assert "--storage" in words
    file = words[2].removeprefix("/home/ray/whichgoal/")
    assert (ROOT / file).exists()
    assert f"whichgoal plan {file}    # the file is sound\nkubectl create" in README


# The images and MLflow -------------------------------------------------------------------------


def dockerfile() -> list[tuple[str, str]]:
    """Returns the instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (CLUSTER / "Dockerfile").read_text()).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]  # type: ignore[misc]


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [word for op, rest in dockerfile() if op == "COPY" for word in rest.split()[:-1]]
    assert set(copied) == kept
    assert all((ROOT / word).exists() for word in copied)


def test_every_image_ends_as_an_ordinary_user_and_installs_only_locked_versions() -> None:
    users: dict[str, str] = {}
    stage = ""
    for op, rest in dockerfile():
        if op == "FROM":
            stage = rest.split(" AS ")[1]
        if op == "USER":
            users[stage] = rest
        for command in re.findall(r"pip install [^&]+", rest):
            assert "-c constraints.txt" in command
    assert users == {"mlflow": "1000", "ray": "1000"}  # Kubernetes takes no name for `runAsNonRoot`
    locked = (ROOT / "constraints.txt").read_text()
    named = "mlflow psycopg2-binary boto3"
    assert f"constraints.txt {named}" in (CLUSTER / "Dockerfile").read_text()
    for package in named.split():
        assert re.search(rf"(?m)^{package}==", locked)


def test_pods_run_as_the_user_of_the_image() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    (made,) = re.findall(r"useradd --create-home --uid (\d+) --gid (\d+) ray", text)
    for spec in cluster_specs():
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            for container in group["template"]["spec"]["containers"]:
                context = container["securityContext"]
                assert context["runAsNonRoot"]
                assert (str(context["runAsUser"]), str(context["runAsGroup"])) == made


def test_the_compose_file_is_one() -> None:
    compose = load("mlflow.yaml")
    check(compose, "compose")
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(compose["volumes"])
    build = services["mlflow"]["build"]
    assert (CLUSTER / build["context"] / build["dockerfile"]).exists()
    assert build["target"] in [r.split(" AS ")[1] for op, r in dockerfile() if op == "FROM"]
    misspelt = {**compose, "services": {"a": {"image": "b", "port": ["1:1"]}}}
    with pytest.raises(jsonschema.ValidationError):
        check(misspelt, "compose")


def test_mlflow_is_served_as_its_server_takes_it() -> None:
    service = load("mlflow.yaml")["services"]["mlflow"]
    told = subprocess.run(
        [BIN / "mlflow", "server", "--help"], capture_output=True, text=True, check=True
    ).stdout
    given = {word.split("=")[0] for word in service["command"]}
    assert {"--serve-artifacts", "--artifacts-destination", "--allowed-hosts"} <= given
    assert not {flag for flag in given if flag not in told}
    assert service["environment"]["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg2://")
    assert all(port.startswith("${MLFLOW_BIND:-127.0.0.1}:") for port in service["ports"])


def test_no_password_is_written_down() -> None:
    for path in CLUSTER.iterdir():
        for line in path.read_text().splitlines():
            found = re.search(
                r"(?<!{)\b\w*(PASSWORD|SECRET_ACCESS_KEY|AUTH_TOKEN)\s*[:=]\s*(\S+)", line
            )
            if found:
                assert found.group(2).startswith(("$", "%s", '"$', "~")), line
    assert "cluster/.env" in (ROOT / ".gitignore").read_text().split()


# The README ------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Returns the commands of the README's bash blocks, in words."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.mark.parametrize("words", [c for c in commands() if c[0] == "ray"], ids=" ".join)
def test_rays_commands_and_flags_exist(words: list[str]) -> None:
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    names = [word for word in own if not word.startswith("-")]
    command = names[:2] if names[0] == "job" else names[:1]
    told = subprocess.run(
        [BIN / "ray", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    for flag in (word for word in own if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){flag}(?![\w-])", told), f"{flag} is not in:\n{told}"


def test_the_sweep_that_is_submitted_can_be_parsed() -> None:
    from whichgoal.cli.arguments import parser
    from whichgoal.sweep.file.check import load as load_sweep

    submits = [words for words in commands() if words[:3] == ["ray", "job", "submit"]]
    (words,) = submits
    entrypoint = words[words.index("--") + 1 :]
    assert entrypoint[0] == "whichgoal"
    given = parser().parse_args(entrypoint[1:])
    assert load_sweep(ROOT / given.file).trials()
    assert (ROOT / words[words.index("--runtime-env") + 1]).exists()
    for command in re.findall(r"`whichgoal ([^`]+)`", README):
        if " " in command:
            parser().parse_args(shlex.split(command))


def test_every_file_and_variable_that_is_named_exists() -> None:
    for name in re.findall(r"cluster/[\w.-]+\.yaml|cluster/Dockerfile|sweeps/\w+\.yaml", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"(?m)^\| `([^|]+)` \|", README):
        for file in re.findall(r"[\w.-]+", name.replace("`", "").replace(",", " ")):
            assert (CLUSTER / file).exists(), file
    ours = "".join(path.read_text() for path in (ROOT / "platform").rglob("*.py"))
    ours += "".join(path.read_text() for path in CLUSTER.glob("*.yaml"))
    for name in set(re.findall(r"`((?:WHICHGOAL|MLFLOW|RAY)_\w+)`", README)):
        assert name in ours, name


def test_the_target_and_arguments_of_the_build_exist() -> None:
    (words,) = (words for words in commands() if words[:2] == ["docker", "build"])
    stages = [rest.split(" AS ")[1] for op, rest in dockerfile() if op == "FROM"]
    assert words[words.index("--target") + 1] in stages
    arguments = [rest.split("=")[0] for op, rest in dockerfile() if op == "ARG"]
    for name in re.findall(r"--build-arg (\w+)", README):
        assert name in arguments
