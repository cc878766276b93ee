"""What the operating system refuses, in a sentence that tells what to do."""

import errno

_ADVICE = {
    errno.ENOSPC: "free some space on the disk of the data folder and of the temporary folder",
    errno.EDQUOT: "free some space, this user's quota is used up",
    errno.EROFS: "make the data folder and the temporary folder writable",
    errno.EACCES: "give this user write access to the data folder",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`) of this process",
    errno.ENFILE: "close what holds so many files open on this machine",
    errno.EIO: "check the health of the disk",
}

# What `tempfile.gettempdir` says, whatever kept it from writing.
_NO_TEMPORARY_FOLDER = "No usable temporary directory"


def explain_refusal(error: OSError) -> str | None:
    """Return what was refused and what to do, as the first half of a sentence.

    None where the error says nothing about the machine: a file that is not there, say.
    """
    if error.strerror is not None and error.strerror.startswith(_NO_TEMPORARY_FOLDER):
        return (
            f"{error.strerror}: free some space there, raise the limit of open files "
            "(`ulimit -n`), or set TMPDIR to a folder that can be written to"
        )
    advice = None if error.errno is None else _ADVICE.get(error.errno)
    return None if advice is None else f"{error.strerror}: {advice}"
