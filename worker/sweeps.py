"""Keeps the sweeps going: submits a trial for each place that has become free.

Every worker does so before it looks for work. They may come at the same time and die in between:
a trial's number is given away in the transaction that queues its job.
"""

import logging

from pydantic import ValidationError

from store import sweeps
from store.database import Database
from store.sweep_requests import SweepRequest
from store.tables import JobStatus
from worker import studies

log = logging.getLogger(__name__)


def advance(database: Database) -> None:
    """Submit what may be submitted now. Raises DatabaseError when the database refuses."""
    with database.reading() as session:
        running = [sweep.id for sweep in sweeps.list_running(session)]
    for sweep_id in running:
        while _submit_next(database, sweep_id):
            pass


def is_hopeless(database: Database, job_id: int, epoch: int) -> bool:
    """Tell whether the job is a trial that is to be pruned after `epoch`."""
    with database.reading() as session:
        trial = sweeps.find_of_jobs(session, [job_id]).get(job_id)
        if trial is None:
            return False
        request = SweepRequest.model_validate(sweeps.get(session, trial.sweep_id).request)
        own = sweeps.read_curves(session, trial.sweep_id, job_id=job_id)[job_id]
        at_epoch = sweeps.read_curves(session, trial.sweep_id, epoch=epoch)
        finished = [
            at_epoch.get(other.job_id, {})
            for other in sweeps.list_trials(session, [trial.sweep_id])
            if other.status is JobStatus.SUCCEEDED
        ]
    return studies.is_hopeless(request, own, finished)


def _submit_next(database: Database, sweep_id: int) -> bool:
    """Submit one trial; return whether there was a place for it."""
    with database.reading() as session:
        sweep = next((one for one in sweeps.list_running(session) if one.id == sweep_id), None)
        if sweep is None:
            return False
        request, number = SweepRequest.model_validate(sweep.request), sweep.submitted
        trials = sweeps.list_trials(session, [sweep_id])
        curves = sweeps.read_curves(session, sweep_id)
    if not sweeps.count_free_places(request, number, trials):
        return False
    # The sampler thinks while nobody waits for the database.
    params = studies.propose(request, number, trials, curves)
    try:
        with database.writing() as session:
            job = sweeps.submit_trial(session, sweep_id, number, params)
    except ValidationError as error:
        told = f"Trial {number} of {params} is no legal job: {error.errors()[0]['msg']}"
        log.warning("Sweep %d: %s", sweep_id, told)
        with database.writing() as session:
            sweeps.fail(session, sweep_id, f"{told}. Narrow the space, and start another sweep.")
        return False
    if job is not None:
        log.info("Sweep %d: trial %d is job %d: %s", sweep_id, number, job.id, params)
    return job is not None
