"""The Compose files are valid, lock the containers down, and fit the Dockerfile."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "docker-compose.yml"
CPU_OVERRIDE = ROOT / "docker-compose.cpu.yml"


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's `!reset`, which removes what the base file says: read as None."""


ComposeLoader.add_constructor("!reset", lambda _loader, _node: None)


def read(path: Path) -> dict[str, Any]:
    content = yaml.load(path.read_text(), ComposeLoader)  # noqa: S506 -- a SafeLoader
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("path", [BASE, CPU_OVERRIDE], ids=lambda path: path.name)
def test_a_compose_file_follows_the_specification(path: Path) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(read(path), json.loads(schema.read_text()))


def test_both_processes_share_one_volume_and_run_the_same_image() -> None:
    api, worker = (read(BASE)["services"][name] for name in ("api", "worker"))
    assert api["volumes"] == worker["volumes"] == ["data:/data"]
    assert api["image"] == worker["image"]
    assert (api["command"], worker["command"]) == (["service"], ["worker"])


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_container_has_no_privileges_it_does_not_need(name: str) -> None:
    service = read(BASE)["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("path", [BASE, CPU_OVERRIDE], ids=lambda path: path.name)
def test_no_container_gets_more_rights_than_the_base_gives(path: Path) -> None:
    for service in read(path)["services"].values():
        for word in ("privileged", "cap_add", "devices", "user", "pid", "ipc", "network_mode"):
            assert word not in service
        if path is CPU_OVERRIDE:
            assert not {"read_only", "cap_drop", "security_opt", "volumes"} & set(service)


def test_a_container_runs_as_nobody_in_particular() -> None:
    """The last USER counts, and no target of the Dockerfile goes back to root."""
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    assert not re.search(r"\bsudo\b|\bsetuid\b|docker\.sock", dockerfile)


def test_the_api_knows_where_it_is_published() -> None:
    """So that it asks for keys as soon as others reach it."""
    environment = read(BASE)["services"]["api"]["environment"]
    assert environment["TENFOLD_PUBLISHED"] == "${TENFOLD_PUBLISH:-127.0.0.1:8000}"
    assert environment["TENFOLD_OPEN"] == "${TENFOLD_OPEN:-false}"


def test_the_api_is_published_on_this_host_only_unless_told_otherwise() -> None:
    assert read(BASE)["services"]["api"]["ports"] == ["${TENFOLD_PUBLISH:-127.0.0.1:8000}:8000"]


def test_the_worker_alone_reserves_gpus_and_the_override_takes_them_away() -> None:
    services = read(BASE)["services"]
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in services["api"]
    override = read(CPU_OVERRIDE)["services"]["worker"]
    assert override["deploy"] is None


@pytest.mark.parametrize("path", [BASE, CPU_OVERRIDE], ids=lambda path: path.name)
def test_every_service_builds_a_target_that_the_dockerfile_has(path: Path) -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.MULTILINE))
    for service in read(path)["services"].values():
        target = service["build"]["target"]
        assert target in targets
        assert service["image"] == f"tenfold:{target}"
