"""The client knows what the service offers: compared with its OpenAPI document."""

import ast
import inspect
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from client import calls, schemas
from client.spec import list_spec_fields

# The first test waits for the service to start.
pytestmark = pytest.mark.timeout(300)
# Routes that a browser, a probe or another protocol's client asks for, not this one.
NOT_OURS = {
    "check_liveness",
    "download_checkpoint",
    "download_model",
    "get_network_graph",
    "get_network_graph_picture",
}
# The client's calls whose name is not that of the one operation they stand for.
MANY_NAMES = {
    "change_job": {"cancel_job", "pause_job", "resume_job", "retry_job"},
    "follow_events": {"list_events"},
    "follow_metrics": {"list_metrics"},
    "predict_one": {"predict"},
    "predict_many": {"predict"},
}
OUR_TAGS = {
    "jobs",
    "models",
    "datasets",
    "networks",
    "recipes",
    "sweeps",
    "workers",
    "health",
    "keys",
    "predictions",
}
# Of a request, what says nothing of the training itself: arguments of their own.
NO_SPEC_FIELDS = {"recipe", "model", "priority", "max_run_seconds", "max_wait_seconds"}
# The service's reply → the client's.
REPLIES: dict[str, type[BaseModel]] = {
    "JobReply": schemas.JobRecord,
    "JobError": schemas.JobError,
    "TrialOfJob": schemas.TrialOfJob,
    "SweepReply": schemas.Sweep,
    "SweepSummary": schemas.SweepSummary,
    "SweepError": schemas.SweepError,
    "TrialReply": schemas.Trial,
    "PublishedModel": schemas.PublishedModel,
    "StepMetric": schemas.StepMetric,
    "EpochMetric": schemas.EpochMetric,
    "EventReply": schemas.Event,
    "FileReply": schemas.StoredFile,
    "CheckpointReply": schemas.Checkpoint,
    "EvaluationReport": schemas.Report,
    "ClassReport": schemas.ClassReport,
    "Prediction": schemas.ClassifiedImage,
    "VersionReply": schemas.ModelVersion,
    "ModelSummary": schemas.ModelSummary,
    "ModelReply": schemas.Model,
    "DatasetReply": schemas.Dataset,
    "LayerReply": schemas.Layer,
    "NetworkReply": schemas.Network,
    "WorkerReply": schemas.Worker,
    "Readiness": schemas.Readiness,
    "StorageReply": schemas.Storage,
    "Explanation": schemas.Explanation,
    "RankedClass": schemas.RankedClass,
    "KeyReply": schemas.ApiKey,
    "CreatedKey": schemas.CreatedKey,
}


@pytest.fixture
def document(idle_stack: Any) -> dict[str, Any]:
    reply: httpx.Response = idle_stack.client.get("/openapi.json")
    document: dict[str, Any] = reply.json()
    return document


def test_every_operation_of_the_service_has_a_call(document: dict[str, Any]) -> None:
    offered = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
        if OUR_TAGS & set(operation.get("tags", []))
    }
    functions = [
        node.name
        for node in ast.parse(inspect.getsource(calls)).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    known = set().union(*(MANY_NAMES.get(name, {name}) for name in functions))
    assert known - offered == set(), "calls of what the service does not offer"
    assert offered - NOT_OURS - known == set(), "operations without a call in client/calls.py"


def test_a_request_has_every_field_of_the_services(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["JobRequest"]["properties"]
    offered = set(fields) - NO_SPEC_FIELDS
    missing = offered - set(list_spec_fields())
    assert missing == set(), "add them to client/spec.py (and so to `tenfold train`)"
    assert set(list_spec_fields()) - offered == set(), "the service has no such field"


def test_a_spec_field_has_the_services_type(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["JobRequest"]["properties"]
    names = {"string": str, "integer": int, "number": float, "boolean": bool}
    for name, field in list_spec_fields().items():
        variants = properties[name].get("anyOf", [properties[name]])
        kinds = {names[variant["type"]] for variant in variants if variant.get("type") in names}
        assert kinds == {field.kind}, name


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_has_every_member_of_the_services(name: str, document: dict[str, Any]) -> None:
    offered = set(document["components"]["schemas"][name]["properties"])
    known = {field.alias or key for key, field in REPLIES[name].model_fields.items()}
    assert offered - known == set(), "add them to client/schemas/"
