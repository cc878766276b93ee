"""`/models` over HTTP."""

import httpx
import pytest

from tests.service.stand_in_worker import MANIFEST, MODEL_FILES, StandInWorker


def publish(client: httpx.Client, worker: StandInWorker, name: str) -> None:
    client.post("/jobs", json={"model": name})
    worker.succeed(worker.claim())


def test_models_are_listed_by_name_with_their_newest_version(
    client: httpx.Client, worker: StandInWorker
) -> None:
    for name in ("pets", "cars", "pets"):
        publish(client, worker, name)
    client.put("/models/pets/aliases/production", json={"version": 1})
    items = client.get("/models").json()["items"]
    assert [(item["name"], item["newest"]["version"]) for item in items] == [
        ("cars", 1),
        ("pets", 2),
    ]
    assert items[1]["aliases"] == {"production": 1}


def test_models_are_paged(client: httpx.Client, worker: StandInWorker) -> None:
    for name in ("a", "b", "c"):
        publish(client, worker, name)
    first = client.get("/models", params={"limit": 2}).json()
    last = client.get("/models", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    names = [item["name"] for item in first["items"] + last["items"]]
    assert (names, last["next_cursor"]) == (["a", "b", "c"], None)


def test_a_version_shows_its_manifest_files_and_aliases(
    client: httpx.Client, worker: StandInWorker
) -> None:
    publish(client, worker, "pets")
    client.put("/models/pets/aliases/production", json={"version": 1})
    version = client.get("/models/pets/versions/1").json()
    assert version["manifest"] == MANIFEST
    assert version["aliases"] == ["production"]
    assert [file["name"] for file in version["files"]] == sorted(MODEL_FILES)
    assert version["size_bytes"] == sum(map(len, MODEL_FILES.values()))


def test_an_alias_moves_and_goes(client: httpx.Client, worker: StandInWorker) -> None:
    publish(client, worker, "pets")
    publish(client, worker, "pets")
    for version in (1, 2):
        reply = client.put("/models/pets/aliases/production", json={"version": version})
        assert reply.json() == {"model": "pets", "alias": "production", "version": version}
        assert client.get("/models/pets").json()["aliases"] == {"production": version}
    assert client.delete("/models/pets/aliases/production").status_code == 204
    assert client.get("/models/pets").json()["aliases"] == {}
    assert client.delete("/models/pets/aliases/production").json()["code"] == "alias_not_found"


def test_an_alias_of_a_deleted_version_goes_with_it(
    client: httpx.Client, worker: StandInWorker
) -> None:
    publish(client, worker, "pets")
    publish(client, worker, "pets")
    client.put("/models/pets/aliases/production", json={"version": 1})
    assert client.delete("/models/pets/versions/1").status_code == 204
    model = client.get("/models/pets").json()
    assert (model["aliases"], [item["version"] for item in model["versions"]]) == ({}, [2])


@pytest.mark.parametrize(
    ("alias", "body", "status", "code"),
    [
        ("production", {"version": 9}, 404, "model_not_found"),
        ("production", {"version": 0}, 422, "invalid_request"),
        ("production", {}, 422, "invalid_request"),
        ("7", {"version": 1}, 422, "invalid_request"),
        ("Pro@duction", {"version": 1}, 422, "invalid_request"),
    ],
)
def test_an_alias_that_cannot_be_is_refused(
    client: httpx.Client,
    worker: StandInWorker,
    *,
    alias: str,
    body: dict[str, int],
    status: int,
    code: str,
) -> None:
    publish(client, worker, "pets")
    reply = client.put(f"/models/pets/aliases/{alias}", json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
