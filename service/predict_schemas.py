"""What `/predict` takes and returns, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class RankedClass(BaseModel):
    """One class of the ranking."""

    model_config = ConfigDict(populate_by_name=True)

    class_name: str = Field(alias="class", description="Name of the class.")
    class_index: int = Field(description="Its place in the model's list of classes, from 0.")
    probability: float = Field(description="From 0 to 1.")


class ImageError(BaseModel):
    """Why one of several pictures has no prediction."""

    code: str = Field(description="The `code` that a request with this picture alone would get.")
    message: str = Field(description="What was wrong, and what would be right.")


class ImageResult(BaseModel):
    """The prediction of one picture, or its `error` and nothing else."""

    model_config = ConfigDict(populate_by_name=True)

    filename: str | None = Field(description="The name that the file had in the form.")
    class_name: str | None = Field(
        default=None, alias="class", description="Name of the most probable class."
    )
    class_index: int | None = Field(default=None, description="Its index.")
    probability: float | None = Field(default=None, description="Its probability.")
    top_k: list[RankedClass] | None = Field(
        default=None, description="The `top_k` most probable classes, best first."
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="The probability of every class, by name."
    )
    error: ImageError | None = None


class PredictReply(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "cifar10-tutorial",
                "version": 1,
                "predictions": [
                    {
                        "filename": None,
                        "class": "cat",
                        "class_index": 3,
                        "probability": 0.75,
                        "top_k": [
                            {"class": "cat", "class_index": 3, "probability": 0.75},
                            {"class": "dog", "class_index": 5, "probability": 0.25},
                        ],
                        "probabilities": {"cat": 0.75, "dog": 0.25},
                    }
                ],
            }
        }
    )

    model: str = Field(description="Name of the model that answered.")
    version: int = Field(description="Its version.")
    predictions: list[ImageResult] = Field(description="One entry a picture, in order.")


_BINARY = {"schema": {"type": "string", "format": "binary"}}
MODEL_PARAMETER: dict[str, Any] = {
    "name": "model",
    "in": "query",
    "required": False,
    "description": (
        "`name` (its alias `production`, else its newest version), `name@3` or `name@alias`. "
        "Without it the newest model of all answers."
    ),
    "schema": {"type": "string"},
    "example": "cifar10-tutorial@production",
}
TOP_K_PARAMETER: dict[str, Any] = {
    "name": "top_k",
    "in": "query",
    "required": False,
    "description": "How many classes to rank; more than the model has means all of them.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999, "default": 3},
}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
        "image/webp": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "file": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "One or many files, in fields of any name.",
                    }
                },
                "required": ["file"],
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "byte"},
                        "description": "The files, each in standard base64.",
                    }
                },
                "required": ["images"],
            },
            "example": {
                "images": [
                    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
                ]
            },
        },
    },
}
PREDICT_DOCUMENTATION: dict[str, Any] = {
    "parameters": [MODEL_PARAMETER, TOP_K_PARAMETER],
    "requestBody": REQUEST_BODY,
}
