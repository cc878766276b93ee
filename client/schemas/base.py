"""What all replies have in common: members that a newer service adds are kept."""

from pydantic import BaseModel, ConfigDict


class Reply(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, validate_by_name=True)
