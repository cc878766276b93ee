"""The parameters that many routes share."""

from typing import Annotated

from fastapi import Header, Path, Query

from service.cursors import LARGEST_INTEGER
from store.specs import NAME_PATTERN

JobId = Annotated[int, Path(ge=1, le=LARGEST_INTEGER, description="Id of the job.", examples=[7])]
SweepId = Annotated[
    int, Path(ge=1, le=LARGEST_INTEGER, description="Id of the sweep.", examples=[2])
]
CheckpointId = Annotated[
    int, Path(ge=1, le=LARGEST_INTEGER, description="Id of the checkpoint.", examples=[3])
]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items in one page.")]
ModelName = Annotated[
    str,
    Path(pattern=NAME_PATTERN, description="Name of the model.", examples=["cifar10-tutorial"]),
]
AliasName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Name of the alias.", examples=["production"])
]
VersionNumber = Annotated[
    int, Path(ge=1, le=LARGEST_INTEGER, description="Version of the model.", examples=[1])
]
DatasetName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Name of the data set.", examples=["cifar10"])
]
NetworkName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Name of the network.", examples=["lenet"])
]
RecipeName = Annotated[
    str, Path(pattern=NAME_PATTERN, description="Name of the recipe.", examples=["tutorial"])
]
FileName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name of the file, as listed.",
        examples=["model.onnx"],
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(description="`ETag` of the copy that you have: 304 when it is still the same."),
]
