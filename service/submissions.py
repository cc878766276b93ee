"""What posting a job and posting a sweep have in common, since the trials of a sweep are jobs."""

from typing import Annotated, Any

from fastapi import Header, Response

from service.openapi import COMMON_PROBLEMS, Responses, json_example

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[!-~]{1,255}$",
        description=(
            "A key of your own (a UUID, say). Posting again with the same key and body returns "
            "the job that the first post made, so a retry never trains twice."
        ),
        examples=["0b9c3a52-6f0e-4e0c-9d58-5f1c1a8b2a77"],
    ),
]

SUBMISSION_PROBLEMS = (
    "malformed_body",
    "body_too_large",
    *COMMON_PROBLEMS,
    "unknown_dataset",
    "dataset_unusable",
    "dataset_too_small",
    "batch_too_large",
    "queue_full",
    "images_too_small",
    "initial_model_unusable",
    "idempotency_key_reused",
)


def created_reply(noun: str, example: dict[str, Any], description: str) -> Responses:
    """Return the entry of `responses` for a 201 that an `Idempotency-Key` can repeat."""
    headers = {
        "Location": f"The {noun}'s address.",
        "Idempotent-Replayed": f"`true` when the key made this {noun} before.",
    }
    shown = {
        name: {"schema": {"type": "string"}, "description": meaning}
        for name, meaning in headers.items()
    }
    return {201: json_example(example, description) | {"headers": shown}}


def announce_created(response: Response, location: str, *, is_new: bool) -> None:
    """Set the headers of that 201."""
    response.headers["Location"] = location
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
