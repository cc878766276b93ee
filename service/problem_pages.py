"""`/problems`: what each problem code means; the `type` of every problem points here."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from service.openapi import json_example, problem_responses
from service.problems import PROBLEM_TYPES
from store.errors import NotFoundError

router = APIRouter(prefix="/problems", tags=["problems"])


ProblemCode = Annotated[str, Path(pattern="^[a-z_]{1,64}$", description="The `code` of a problem.")]


class ProblemKind(BaseModel):
    """One kind of problem."""

    code: str
    status: int = Field(description="The HTTP status that it comes with.")
    title: str
    remedy: str = Field(description="What to do.")


class ProblemKindList(BaseModel):
    """All kinds of problems, by code."""

    items: list[ProblemKind]


def _describe(code: str) -> ProblemKind:
    kind = PROBLEM_TYPES[code]
    return ProblemKind(code=code, status=kind.status, title=kind.title, remedy=kind.remedy)


_EXAMPLE = _describe("job_not_found").model_dump()


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
async def list_problems() -> ProblemKindList:
    """List every problem code with its meaning."""
    return ProblemKindList(items=[_describe(code) for code in sorted(PROBLEM_TYPES)])


@router.get(
    "/{code}",
    responses={200: json_example(_EXAMPLE), **problem_responses("not_found", "invalid_request")},
)
async def get_problem(code: ProblemCode) -> ProblemKind:
    """Explain one problem code."""
    if code not in PROBLEM_TYPES:
        raise NotFoundError("There is no such problem code: GET /problems lists them.")
    return _describe(code)
