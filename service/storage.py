"""`/storage`: how much is stored, and how much room is left."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.context import ContextDependency
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from store import storage

router = APIRouter(
    prefix="/storage", tags=["health"], responses=problem_responses(*COMMON_PROBLEMS)
)


class StorageReply(BaseModel):
    """Sizes in bytes."""

    model_config = ConfigDict(from_attributes=True)

    database_bytes: int | None = Field(
        description="The database file with its journal; null where the database is no file."
    )
    database_max_bytes: int | None = Field(
        description="The size that TENFOLD_DATABASE_MAX_BYTES sets; null where the disk does."
    )
    unused_bytes: int | None = Field(
        description="Of the database file: deleted, and soon given back to the disk."
    )
    checkpoints_bytes: int = Field(description="All checkpoints of all jobs.")
    models_bytes: int = Field(description="All versions of all models.")
    free_bytes: int = Field(description="Room on the disk of the data folder.")
    artifacts_free_bytes: int = Field(
        description="Room on the disk of checkpoints and models, often the same."
    )


_EXAMPLE = {
    "database_bytes": 5_242_880,
    "database_max_bytes": None,
    "unused_bytes": 0,
    "checkpoints_bytes": 1_506_048,
    "models_bytes": 2_104_320,
    "free_bytes": 70_000_000_000,
    "artifacts_free_bytes": 70_000_000_000,
}


@router.get("", responses={200: json_example(_EXAMPLE)})
def measure_storage(context: ContextDependency) -> StorageReply:
    """Tell how many bytes are stored, and how many more would fit."""
    return StorageReply.model_validate(storage.measure(context.database, context.settings))
