"""Data sets found by name, packed once, listed for the user."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from store.errors import DatasetError
from store.settings import Settings
from tests.worker.conftest import Events, write_picture
from worker import datasets, shapes
from worker.dataset_sources import LoadStoppedError, OfficialBatches, Shapes
from worker.image_folders import ImageFolder


def make_animals(settings: Settings, name: str = "animals") -> Path:
    folder = settings.datasets_folder / name
    for split in ("train", "test"):
        for animal, color in (("cat", "black"), ("dog", "white")):
            for index in range(2):
                write_picture(folder / split / animal / f"{index}.png", color=color)
    return folder


@pytest.fixture
def few_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "COUNTS", {"train": 40, "test": 20})


def test_an_image_folder_comes_before_everything_else(settings: Settings) -> None:
    assert isinstance(datasets.find("cifar10", settings), OfficialBatches)
    assert isinstance(datasets.find("shapes", settings), Shapes)
    for name in ("cifar10", "shapes", "animals"):
        make_animals(settings, name)
        assert isinstance(datasets.find(name, settings), ImageFolder)


def test_the_official_batches_are_not_taken_for_an_image_folder(settings: Settings) -> None:
    batches = settings.datasets_folder / "cifar10" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    (batches / "batches.meta").touch()
    source = datasets.find("cifar10", settings)
    assert isinstance(source, OfficialBatches)
    assert source.state == "available"


def test_an_unknown_name_says_where_to_put_pictures(settings: Settings) -> None:
    with pytest.raises(DatasetError) as failure:
        datasets.find("animals", settings)
    assert str(settings.datasets_folder / "animals") in failure.value.message
    assert "cifar10, shapes" in failure.value.message


def test_the_first_load_packs_and_the_second_maps(settings: Settings, events: Events) -> None:
    make_animals(settings)
    first = datasets.load("animals", settings, events)
    assert events.kinds[0] == "packing"
    assert events.kinds[-1] == "packed"
    again = Events()
    assert datasets.load("animals", settings, again) == first
    assert again.kinds == []


def test_a_changed_folder_is_packed_anew(settings: Settings, events: Events) -> None:
    folder = make_animals(settings)
    before = datasets.load("animals", settings, events)
    write_picture(folder / "train" / "cat" / "new.png")
    after = datasets.load("animals", settings, events)
    assert after.fingerprint != before.fingerprint
    assert (before.count("train"), after.count("train")) == (4, 5)


def test_a_packed_copy_outlives_its_pictures(settings: Settings, events: Events) -> None:
    folder = make_animals(settings)
    before = datasets.load("animals", settings, events)
    shutil.rmtree(folder)
    assert datasets.load("animals", settings, events) == before


def test_a_packed_cifar10_is_not_downloaded_again(settings: Settings, events: Events) -> None:
    folder = make_animals(settings, "cifar10")
    before = datasets.load("cifar10", settings, events)
    shutil.rmtree(folder)
    assert datasets.load("cifar10", settings, events) == before


def test_a_load_that_was_stopped_leaves_nothing_behind(settings: Settings, events: Events) -> None:
    make_animals(settings)
    with pytest.raises(LoadStoppedError):
        datasets.load("animals", settings, events, should_stop=lambda: True)
    assert not settings.packed_folder.exists()


@pytest.mark.usefixtures("few_to_draw")
def test_shapes_needs_no_files_and_no_network(settings: Settings, events: Events) -> None:
    dataset = datasets.load("shapes", settings, events)
    assert dataset.classes == shapes.CLASSES
    assert dataset.class_counts["train"] == (4,) * 10
    assert dataset.images("test").shape == (20, 32, 32, 3)


def test_shapes_are_the_same_on_every_call() -> None:
    first, second = shapes.draw("train", 60), shapes.draw("train", 60)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.images, shapes.draw("test", 60).images)


def test_no_two_shapes_are_alike() -> None:
    images = shapes.draw("train", 200).images.reshape(200, -1)
    assert len(np.unique(images, axis=0)) == 200


@pytest.mark.usefixtures("few_to_draw")
def test_the_catalogue_tells_the_state_of_every_data_set(
    settings: Settings, events: Events
) -> None:
    make_animals(settings)
    broken = make_animals(settings, "broken")
    (broken / "train" / "owl").mkdir()
    states = {entry.name: entry.state for entry in datasets.catalogue(settings)}
    assert states == {
        "animals": "available",
        "broken": "unusable",
        "cifar10": "downloadable",
        "shapes": "available",
    }
    for name in ("animals", "shapes"):
        datasets.load(name, settings, events)
    states = {entry.name: entry.state for entry in datasets.catalogue(settings)}
    assert (states["animals"], states["shapes"]) == ("ready", "ready")


def test_the_catalogue_counts_pictures_before_they_are_packed(settings: Settings) -> None:
    make_animals(settings)
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == "animals")
    assert entry.classes == ("cat", "dog")
    assert entry.class_counts == {"train": (2, 2), "test": (2, 2)}


def test_the_catalogue_says_what_is_wrong_with_a_folder(settings: Settings) -> None:
    folder = make_animals(settings)
    (folder / "train" / "owl").mkdir()
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == "animals")
    assert entry.problem is not None
    assert "class owl" in entry.problem


def test_the_catalogue_lists_what_is_packed_and_has_no_pictures(
    settings: Settings, events: Events
) -> None:
    folder = make_animals(settings)
    datasets.load("animals", settings, events)
    shutil.rmtree(folder)
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == "animals")
    assert (entry.state, entry.height, entry.width) == ("ready", 32, 32)


def test_the_catalogue_sees_a_new_picture_and_a_job_also_one_changed_in_place(
    settings: Settings, events: Events
) -> None:
    folder = make_animals(settings)

    def state() -> str:
        entries = datasets.catalogue(settings)
        return next(entry.state for entry in entries if entry.name == "animals")

    first = datasets.load("animals", settings, events)
    assert state() == "ready"
    write_picture(folder / "train" / "cat" / "new.png")
    assert state() == "available"
    second = datasets.load("animals", settings, events)
    write_picture(folder / "train" / "cat" / "new.png", color="green")
    third = datasets.load("animals", settings, events)
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


@pytest.mark.parametrize("name", ["My Photos", "UPPER", "a.b", "-a", "a" * 64])
def test_a_folder_that_no_job_can_name_is_to_be_renamed(settings: Settings, name: str) -> None:
    make_animals(settings, name)
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == name)
    assert entry.state == "unusable"
    assert entry.problem is not None
    assert "rename the folder" in entry.problem


def test_an_empty_folder_is_told_what_it_lacks(settings: Settings) -> None:
    (settings.datasets_folder / "animals").mkdir(parents=True)
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == "animals")
    assert entry.problem is not None
    assert "train/<class>/*" in entry.problem


def test_a_link_that_leads_nowhere_is_named(settings: Settings, events: Events) -> None:
    link = make_animals(settings) / "train" / "cat" / "link.png"
    link.symlink_to(settings.data / "nowhere.png")
    entry = next(entry for entry in datasets.catalogue(settings) if entry.name == "animals")
    assert (entry.state, str(link) in (entry.problem or "")) == ("unusable", True)
    with pytest.raises(DatasetError, match=str(link)):
        datasets.load("animals", settings, events)
