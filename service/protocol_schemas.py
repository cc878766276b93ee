"""What the Open Inference Protocol takes and returns, for the OpenAPI document."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from service.openapi import json_example

ModelReference = Annotated[
    str,
    Path(
        description="`name` (its alias `production`, else its newest version) or `name@alias`.",
        examples=["cifar10-tutorial"],
    ),
]
VersionReference = Annotated[
    str, Path(description="Number of the version, or an alias.", examples=["1"])
]


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "tenfold",
                "version": "0.1.0",
                "extensions": ["binary_tensor_data", "classification", "model_repository"],
            }
        }
    )

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "cifar10-tutorial",
                "versions": ["2", "1"],
                "platform": "onnx_onnxv1",
                "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}],
                "outputs": [
                    {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
                    {"name": "class_index", "datatype": "INT64", "shape": [-1]},
                    {"name": "class", "datatype": "BYTES", "shape": [-1]},
                ],
            }
        }
    )

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReadiness(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "cifar10-tutorial", "ready": True}}
    )

    name: str
    ready: bool


ERROR_REPLY = json_example(
    {"error": "There is no model 'x': GET /models lists those that exist."},
    "What was wrong, and what would be right.",
)
Replies = dict[int | str, dict[str, Any]]
LIVE_REPLY: Replies = {200: json_example({"live": True})}
# The specification names the member of this reply "live"; most servers send "ready".
READY_REPLY: Replies = {200: json_example({"live": True, "ready": True})}
UNREADY_REPLY: Replies = {
    503: {
        "model": ModelReadiness,
        **json_example(
            {"name": "cifar10-tutorial", "ready": False},
            "The model was unloaded, and not used since.",
        ),
    }
}
LOAD_REPLY: Replies = {200: json_example({"name": "cifar10-tutorial", "load": True})}
UNLOAD_REPLY: Replies = {200: json_example({"name": "cifar10-tutorial", "unload": True})}
REPOSITORY_REPLY: Replies = {
    200: json_example(
        [{"name": "cifar10-tutorial", "version": "1", "state": "READY", "reason": ""}]
    )
}
INFER_REPLY: Replies = {
    200: json_example(
        {
            "model_name": "cifar10-tutorial",
            "model_version": "1",
            "id": "7",
            "outputs": [
                {
                    "name": "probabilities",
                    "datatype": "BYTES",
                    "shape": [1, 2],
                    "data": ["0.750000:3:cat", "0.250000:5:dog"],
                }
            ],
        }
    )
}
REPOSITORY_DOCUMENTATION: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"type": "object"}, "example": {"ready": True}}},
    }
}
_INFER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": {"const": "images"},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                    "datatype": {"enum": ["UINT8", "BYTES"]},
                    "data": {"type": "array"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"enum": ["probabilities", "class_index", "class"]},
                    "parameters": {"type": "object"},
                },
            },
        },
    },
}
INFER_DOCUMENTATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _INFER_SCHEMA,
                "example": {
                    "id": "7",
                    "inputs": [
                        {
                            "name": "images",
                            "shape": [1],
                            "datatype": "BYTES",
                            "data": ["<base64 of a PNG, JPEG or WebP file>"],
                        }
                    ],
                    "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}],
                },
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
