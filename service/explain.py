"""`POST /explain`: a picture in, and out comes what in it spoke for the class."""

from base64 import b64encode
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from service.context import ContextDependency
from service.explanations import HeatMap, draw, explain, occlude, score
from service.model_cache import LoadedModel
from service.openapi import COMMON_PROBLEMS, file_content, problem_responses
from service.predict import receive_uploads
from service.predict_schemas import REQUEST_BODY
from service.predictor import Prediction
from service.uploads import Upload
from store.errors import InvalidRequestError

router = APIRouter(tags=["predictions"])

_DECIMALS = 5


class Explanation(BaseModel):
    """What spoke for a class."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "example": {
                "model": "cifar10-tutorial",
                "version": 1,
                "class": "cat",
                "class_index": 3,
                "probability": 0.75,
                "method": "occlusion",
                "heat_map": [[0.1, 1.0], [-0.2, 0.0]],
                "image": "iVBORw0KGgo…",
            }
        },
    )

    model: str = Field(description="Name of the model that was asked.")
    version: int = Field(description="Its version.")
    class_name: str = Field(alias="class", description="The class that is explained.")
    class_index: int = Field(description="Its index.")
    probability: float = Field(description="Its probability for the whole picture.")
    method: str = Field(description="`occlusion` (Zeiler and Fergus, 2014).")
    heat_map: list[list[float]] = Field(
        description=(
            "One number a pixel of the model's input, row by row: from -1 (spoke against the "
            "class) over 0 to 1 (spoke for it)."
        )
    )
    image: str = Field(description="The picture with the heat map on it, a PNG in base64.")


async def _read_upload(request: Request) -> Upload:
    uploads = await receive_uploads(request)
    if len(uploads) != 1:
        raise InvalidRequestError(f"{len(uploads)} images were sent: send one at a time.")
    return uploads[0]


@router.post(
    "/explain",
    response_model=Explanation,
    openapi_extra={"requestBody": REQUEST_BODY},
    responses={
        200: {
            "description": "The heat map as numbers and as a picture; only the picture where "
            "`Accept: image/png` asks for it.",
            "content": file_content("image/png"),
        },
        **problem_responses(
            "malformed_body",
            "model_not_found",
            "no_model",
            "explain_not_installed",
            "unknown_class",
            "body_too_large",
            "image_too_large",
            "not_an_image",
            "unsupported_media_type",
            "damaged_image",
            "overloaded",
            "deadline_exceeded",
            *COMMON_PROBLEMS,
        ),
    },
)
async def explain_prediction(
    request: Request,
    context: ContextDependency,
    upload: Annotated[Upload, Depends(_read_upload)],
    model: Annotated[
        str | None, Query(description="As for /predict.", examples=["cifar10-tutorial"])
    ] = None,
    class_name: Annotated[
        str | None,
        Query(alias="class", description="The class to explain. Default: the most probable one."),
    ] = None,
) -> Response:
    """Show what in a picture spoke for a class.

    A grey square slides over the picture, and the model answers some 250 times; where the class
    becomes less probable, the covered pixels spoke for it. Takes the bodies of /predict, with one
    picture. Needs the optional extra `explain`.
    """
    loaded = await context.loaded_models.find(model or None)
    class_index = _find_class(loaded, class_name)
    if isinstance(upload.data, InvalidRequestError):
        raise upload.data
    pixels = await run_in_threadpool(loaded.predictor.prepare, upload.data)
    occlusions = await run_in_threadpool(occlude, pixels)
    reference, answers = await explain(
        loaded, pixels, occlusions, context.settings.predict_deadline_seconds
    )
    explained = reference.ranking[0] if class_index is None else class_index
    heat_map = await run_in_threadpool(score, occlusions, reference, answers, explained)
    picture = await run_in_threadpool(draw, pixels, heat_map)
    if "image/png" in request.headers.get("accept", ""):
        return Response(picture, media_type="image/png")
    explanation = _describe(loaded, reference, explained, heat_map, picture)
    return Response(explanation.model_dump_json(by_alias=True), media_type="application/json")


def _find_class(model: LoadedModel, name: str | None) -> int | None:
    classes = model.predictor.classes
    if name is None:
        return None
    if name not in classes:
        raise InvalidRequestError(
            f"The model has no class {name[:100]!r}. It has: {', '.join(classes)}.",
            code="unknown_class",
        )
    return classes.index(name)


def _describe(
    model: LoadedModel, reference: Prediction, class_index: int, heat_map: HeatMap, picture: bytes
) -> Explanation:
    return Explanation(
        model=model.key.name,
        version=model.key.version,
        class_name=model.predictor.classes[class_index],
        class_index=class_index,
        probability=reference.probabilities[class_index],
        method="occlusion",
        heat_map=heat_map.round(_DECIMALS).tolist(),
        image=b64encode(picture).decode(),
    )
