"""Every problem a client can meet: one table from its stable code to its status."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProblemType:
    """`title` says what kind of problem it is, `remedy` what to do; both never change at run."""

    status: int
    title: str
    remedy: str


PROBLEM_TYPES: dict[str, ProblemType] = {
    # The request.
    "malformed_body": ProblemType(
        400, "The body cannot be read", "Send one JSON document in UTF-8, or a well-formed form."
    ),
    "invalid_cursor": ProblemType(
        400,
        "The cursor is not one of this list",
        "Use the `next_cursor` of an earlier reply as it is, or start without a cursor.",
    ),
    "invalid_request": ProblemType(
        422, "The request cannot be right", "Change what `detail` and `errors` name."
    ),
    "unknown_dataset": ProblemType(
        422,
        "No worker knows this data set",
        "Choose one of `known`, or put images into the data folder and wait for the worker.",
    ),
    "dataset_unusable": ProblemType(
        422, "The data set has a fault", "Mend what `detail` names, or choose another data set."
    ),
    "batch_too_large": ProblemType(
        422, "The batch does not fit into memory", "Set batch_size to what `detail` names, or less."
    ),
    "dataset_too_small": ProblemType(
        422, "The data set is too small for this job", "Use a smaller batch, or add images."
    ),
    "images_too_small": ProblemType(
        422, "The images are too small for this network", "Choose another network or data set."
    ),
    "initial_model_unusable": ProblemType(
        422,
        "The job cannot begin with this model",
        "Name a model of GET /models in init_from, and its network in network.",
    ),
    "unknown_class": ProblemType(
        422, "The model has no such class", "Choose one of those that `detail` names."
    ),
    "idempotency_key_reused": ProblemType(
        422,
        "The Idempotency-Key came with another body before",
        "Send a new key for a new job, or the first body again.",
    ),
    "body_too_large": ProblemType(413, "The body is too large", "Send less in one request."),
    "not_an_image": ProblemType(415, "The bytes are no image", "Send a PNG, JPEG or WebP file."),
    "too_many_images": ProblemType(
        413, "One request has more images than may wait", "Send them in several requests."
    ),
    "image_too_large": ProblemType(413, "The image has too many pixels", "Send a smaller image."),
    "damaged_image": ProblemType(422, "The image is damaged", "Send the complete file."),
    "unsupported_media_type": ProblemType(
        415, "The content type is not accepted", "Send one of the types that `detail` names."
    ),
    # Who asks.
    "key_missing": ProblemType(
        401,
        "The service asks for an API key",
        "Send `Authorization: Bearer <key>`; `tenfold keys create` makes one.",
    ),
    "key_invalid": ProblemType(
        401, "The API key is not taken", "Use a key that `tenfold keys list` shows as usable."
    ),
    "scope_missing": ProblemType(
        403, "The API key may not do this", "Use a key with one of the scopes that `detail` names."
    ),
    "host_not_allowed": ProblemType(
        403,
        "The service does not answer to this name",
        "Use its address, or add the name to TENFOLD_ALLOWED_HOSTS.",
    ),
    "origin_not_allowed": ProblemType(
        403,
        "A page from elsewhere may change nothing here",
        "Add its origin to TENFOLD_CORS_ORIGINS if it is yours.",
    ),
    "too_many_requests": ProblemType(
        429, "The key has sent too many requests", "Try again after the seconds in `Retry-After`."
    ),
    "too_many_queued_jobs": ProblemType(
        429, "The key has too many jobs in the queue", "Wait until some have begun, or cancel some."
    ),
    "queue_full": ProblemType(
        429, "The queue is full", "Wait until some jobs have begun, or cancel some."
    ),
    # The connection, before there is a request.
    "malformed_request": ProblemType(
        400, "The bytes are no HTTP request", "Use an HTTP client, and HTTP/1.1."
    ),
    "header_too_large": ProblemType(
        431, "The header is too large", "Send a shorter address and fewer header fields."
    ),
    "header_too_slow": ProblemType(
        408, "The header did not arrive in time", "Send the request at once."
    ),
    "upload_too_slow": ProblemType(
        408, "The body did not arrive in time", "Send less at once, or over a faster line."
    ),
    "too_many_connections": ProblemType(
        503, "All connections are in use", "Try again after the seconds in `Retry-After`."
    ),
    # What does not exist.
    "not_found": ProblemType(404, "There is nothing at this address", "GET /docs lists them all."),
    "method_not_allowed": ProblemType(
        405, "The address does not take this method", "Use one of the methods in `Allow`."
    ),
    "job_not_found": ProblemType(404, "There is no such job", "GET /jobs lists the jobs."),
    "checkpoint_not_found": ProblemType(
        404,
        "The job has no such checkpoint",
        "GET /jobs/{id}/checkpoints lists them; only the newest two are kept.",
    ),
    "file_not_found": ProblemType(
        404, "There is no such file", "The checkpoint or the model version lists its files."
    ),
    "sweep_not_found": ProblemType(404, "There is no such sweep", "GET /sweeps lists the sweeps."),
    "model_not_found": ProblemType(404, "There is no such model", "GET /models lists the models."),
    "alias_not_found": ProblemType(
        404, "The model has no such alias", "GET /models/{name} lists its aliases."
    ),
    "dataset_not_found": ProblemType(
        404, "There is no such data set", "GET /datasets lists the data sets."
    ),
    "image_not_found": ProblemType(
        404, "The split has no such image", "GET /datasets/{name} tells how many there are."
    ),
    "key_not_found": ProblemType(404, "There is no such API key", "GET /keys lists the keys."),
    "network_not_found": ProblemType(
        404, "There is no such network", "GET /networks lists the networks."
    ),
    "recipe_not_found": ProblemType(
        404, "There is no such recipe", "GET /recipes lists the recipes."
    ),
    # What exists, but not in a state that allows this.
    "conflict": ProblemType(409, "The request does not fit the present state", "See `detail`."),
    "no_model": ProblemType(
        409, "No model has been published yet", "POST /jobs and wait until the job has succeeded."
    ),
    "invalid_transition": ProblemType(
        409, "The job's status does not allow this", "GET /jobs/{id} tells its status."
    ),
    "stale_attempt": ProblemType(
        409, "Another attempt owns the job now", "Read the job again, then decide."
    ),
    "job_already_ended": ProblemType(409, "The job has already ended", "There is nothing to stop."),
    "job_not_ended": ProblemType(
        409, "The job has not ended", "POST /jobs/{id}/cancel first, then DELETE it."
    ),
    "sweep_already_ended": ProblemType(
        409, "The sweep has already ended", "There is nothing to stop."
    ),
    "sweep_not_ended": ProblemType(
        409, "The sweep has not ended", "POST /sweeps/{id}/cancel first, then DELETE it."
    ),
    "trial_not_published": ProblemType(
        404,
        "The trial was not the best of its sweep, so it has no model and no report",
        "GET /sweeps/{id} names the best; to have this one, POST its spec to /jobs.",
    ),
    "report_not_ready": ProblemType(
        409, "The job has no report yet", "Wait until its status is `succeeded`."
    ),
    "report_gone": ProblemType(
        404, "The report went with the model", "Train again: the model version was deleted."
    ),
    "dataset_not_ready": ProblemType(
        409,
        "The data set has not been unpacked on this machine yet",
        "POST a job that uses it: the worker fetches and packs it first.",
    ),
    # What the service itself cannot do now.
    "internal_error": ProblemType(
        500, "The service has a defect", "The log has the traceback: please report it."
    ),
    "artifact_damaged": ProblemType(
        500, "Stored bytes are missing or damaged", "Restore a backup, or train again."
    ),
    "artifact_not_written": ProblemType(
        503, "The artifact store cannot be written to", "Free some space on its disk."
    ),
    "artifact_not_read": ProblemType(
        503, "Stored bytes cannot be read now", "Do what `detail` says, then try again."
    ),
    "dataset_unavailable": ProblemType(
        409, "The data set cannot be read", "Do what `detail` says, or POST a job that uses it."
    ),
    "explain_not_installed": ProblemType(
        409,
        "Heat maps need the optional extra `explain`",
        "pip install 'tenfold[explain]', then restart the service.",
    ),
    "overloaded": ProblemType(
        503, "Too many images are waiting", "Try again after the seconds in `Retry-After`."
    ),
    "deadline_exceeded": ProblemType(
        503,
        "The request waited longer than it may",
        "Try again after the seconds in `Retry-After`, or send fewer images at once.",
    ),
    "system_refused": ProblemType(
        503, "The operating system refuses it", "Do what `detail` says, then try again."
    ),
    "training_failed": ProblemType(500, "Training failed", "See the error of the job."),
    "database_unusable": ProblemType(
        503, "The database cannot be used", "Do what `detail` says, then try again."
    ),
}
