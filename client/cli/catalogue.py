"""`tenfold data`, `networks` and `recipes`: what a job can be made of."""

from pathlib import Path

import click

from client.cli.completion import complete_dataset, complete_network, complete_recipe
from client.cli.picture_files import PICTURE_FILE, choose_format, write_picture
from client.cli.shell import TenfoldGroup, get_shell
from client.schemas import Dataset

dataset_argument = click.argument("name", metavar="DATASET", shell_complete=complete_dataset)


@click.group(cls=TenfoldGroup)
def data() -> None:
    """List and show data sets, and draw samples of them."""


@data.command("list")
def list_datasets() -> None:
    """List the data sets that the workers have found."""
    shell = get_shell()
    found = shell.client.list_datasets()
    if shell.as_json:
        shell.print_json(found)
    elif found:
        shell.print_table(
            ["data set", "state", ">classes", ">training", ">test", "pixels", "problem"],
            [_describe_row(dataset) for dataset in found],
        )
    else:
        shell.print("No worker has told of any data set yet. Start one with: tenfold up")


@data.command("show")
@dataset_argument
def show_dataset(name: str) -> None:
    """Show a data set: its classes, and how many images each has."""
    shell = get_shell()
    dataset = shell.client.get_dataset(name)
    if shell.as_json:
        shell.print_json(dataset)
        return
    shell.print(dataset.description or dataset.name, f"State: {dataset.state}")
    if dataset.problem:
        shell.print(dataset.problem)
    counts = dataset.class_counts or {}
    shell.print_table(
        ["class", *(f">{split}" for split in counts)],
        [
            (class_name, *(counts[split][number] for split in counts))
            for number, class_name in enumerate(dataset.classes)
        ],
    )


@data.command("samples")
@dataset_argument
@click.option(
    "--output",
    type=PICTURE_FILE,
    help="The file, .png or .svg; - for standard output. [default: DATASET-samples.png]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    default="train",
    show_default=True,
    help="Which images.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Another seed, other images.")
@click.option("--count", type=click.IntRange(1), default=16, show_default=True, help="How many.")
def draw_samples(name: str, output: Path | None, split: str, seed: int, count: int) -> None:
    """Write a picture of some images of a data set and their classes."""
    shell = get_shell()
    path = output or Path(f"{name}-samples.png")
    picture = shell.client.draw_dataset_samples(
        name, split=split, seed=seed, count=count, picture_format=choose_format(path)
    )
    write_picture(shell, path, picture)


@click.group(cls=TenfoldGroup)
def networks() -> None:
    """List and show networks."""


@networks.command("list")
def list_networks() -> None:
    """List the networks that a job can train."""
    shell = get_shell()
    found = shell.client.list_networks()
    if shell.as_json:
        shell.print_json(found)
    elif found:
        shell.print_table(
            ["network", ">parameters", "what it is"],
            [(network.name, f"{network.parameter_count:,}", network.summary) for network in found],
        )
    else:
        shell.print("No worker has described a network yet. Start one with: tenfold up")


@networks.command("show")
@click.argument("name", metavar="NETWORK", shell_complete=complete_network)
def show_network(name: str) -> None:
    """Show a network layer by layer."""
    shell = get_shell()
    network = shell.client.get_network(name)
    if shell.as_json:
        shell.print_json(network)
        return
    shell.print(
        network.summary,
        f"{network.parameter_count:,} parameters; images of {_format_shape(network.input_shape)}, "
        f"{network.classes} classes.",
    )
    shell.print_table(
        ["layer", "operation", "output", ">parameters"],
        [
            (layer.name, layer.operation, _format_shape(layer.output_shape), layer.parameter_count)
            for layer in network.layers
        ],
    )


@click.group(cls=TenfoldGroup)
def recipes() -> None:
    """List and show recipes."""


@recipes.command("list")
def list_recipes() -> None:
    """List the recipes that a job can start from."""
    shell = get_shell()
    found = shell.client.list_recipes()
    if shell.as_json:
        shell.print_json(found)
    else:
        shell.print_table(
            ["recipe", "what it is"], [(recipe.name, recipe.description) for recipe in found]
        )


@recipes.command("show")
@click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)
def show_recipe(name: str) -> None:
    """Show every field of a recipe."""
    shell = get_shell()
    recipe = shell.client.get_recipe(name)
    if shell.as_json:
        shell.print_json(recipe)
        return
    shell.print(recipe.description)
    shell.print_table(["field", "value"], list(recipe.spec.items()))


def _describe_row(dataset: Dataset) -> tuple[object, ...]:
    counts = dataset.counts or {}
    size = "" if dataset.height is None else f"{dataset.width}x{dataset.height}"
    return (
        dataset.name,
        dataset.state,
        len(dataset.classes) or "",
        f"{counts['train']:,}" if "train" in counts else "",
        f"{counts['test']:,}" if "test" in counts else "",
        size,
        dataset.problem or "",
    )


def _format_shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))
