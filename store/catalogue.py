"""What the workers can train: data sets and networks, described for the web process."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.clock import utc_now
from store.errors import NotFoundError
from store.tables import Dataset, Network


def put_datasets(session: Session, descriptions: Mapping[str, dict[str, Any]]) -> None:
    """Replace the list of data sets. Each description has at least `state`."""
    session.execute(delete(Dataset).where(Dataset.name.not_in(descriptions)))
    for name, description in descriptions.items():
        put_dataset(session, name, description)


def put_dataset(session: Session, name: str, description: dict[str, Any]) -> None:
    session.merge(
        Dataset(
            name=name,
            state=description["state"],
            description=description,
            updated_at=utc_now(),
        )
    )


def list_datasets(session: Session) -> list[Dataset]:
    return list(session.scalars(select(Dataset).order_by(Dataset.name)))


def get_dataset(session: Session, name: str) -> Dataset:
    """Return the data set's row. Raises NotFoundError (`dataset_not_found`)."""
    row = session.get(Dataset, name)
    if row is None:
        known = ", ".join(dataset.name for dataset in list_datasets(session))
        raise NotFoundError(
            f"There is no data set {name!r}. Known: {known or 'none, no worker has started yet'}. "
            f"To add one, put images into datasets/{name}/train/<class>/ in the data folder.",
            code="dataset_not_found",
        )
    return row


def put_network(session: Session, name: str, description: dict[str, Any], graph_svg: str) -> None:
    session.merge(Network(name=name, description=description, graph_svg=graph_svg))


def list_networks(session: Session) -> list[Network]:
    return list(session.scalars(select(Network).order_by(Network.name)))


def get_network(session: Session, name: str) -> Network:
    """Return the network's row. Raises NotFoundError (`network_not_found`)."""
    row = session.get(Network, name)
    if row is None:
        known = ", ".join(network.name for network in list_networks(session))
        raise NotFoundError(
            f"There is no network {name!r}. Known: {known or 'none, no worker has started yet'}.",
            code="network_not_found",
        )
    return row
