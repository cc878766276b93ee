"""`tenfold models`: what training has published."""

from pathlib import Path

import click
from rich.filesize import decimal as format_size

from client.cli.completion import complete_model
from client.cli.shell import TenfoldGroup, get_shell
from client.schemas import ModelVersion

model_argument = click.argument("name", metavar="MODEL", shell_complete=complete_model)


@click.group(cls=TenfoldGroup)
def models() -> None:
    """List, show, alias, download and delete models.

    MODEL is NAME (its alias production, else its newest version), NAME@3 or NAME@ALIAS.
    """


@models.command("list")
def list_models() -> None:
    """List the models, each with its newest version."""
    shell = get_shell()
    found = list(shell.client.list_models())
    if shell.as_json:
        shell.print_json(found)
    elif found:
        shell.print_table(
            ["model", ">version", "data set", "network", ">accuracy", ">size", "aliases"],
            [
                (
                    model.name,
                    model.newest.version,
                    model.newest.dataset,
                    model.newest.network,
                    f"{model.newest.accuracy:.1%}",
                    format_size(model.newest.size_bytes),
                    ", ".join(f"{alias}={version}" for alias, version in model.aliases.items()),
                )
                for model in found
            ],
        )
    else:
        shell.print("There are no models yet. Train one with: tenfold train")


@models.command("show")
@model_argument
def show_model(name: str) -> None:
    """Show a version of a model with its files, and list the other versions."""
    shell = get_shell()
    version = shell.client.find_model_version(name)
    if shell.as_json:
        shell.print_json(version)
        return
    shell.print_table(["model", f"{version.name}@{version.version}"], _describe(version))
    shell.print_table(
        ["file", ">size", "sha256"],
        [(file.name, format_size(file.size_bytes), file.sha256) for file in version.files],
    )
    shell.print_table(
        [">version", ">accuracy", ">job", "created"],
        [
            (
                other.version,
                f"{other.accuracy:.2%}",
                other.job_id or "",
                f"{other.created_at.astimezone():%Y-%m-%d %H:%M}",
            )
            for other in shell.client.get_model(version.name).versions
        ],
    )


@models.command("alias")
@click.argument("name", metavar="NAME", shell_complete=complete_model)
@click.argument("alias")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--delete", is_flag=True, help="Remove the alias instead; the version stays.")
def alias_model(name: str, alias: str, version: int | None, *, delete: bool) -> None:
    """Point ALIAS at VERSION of the model NAME.

    The alias production is what answers when no version is named.
    """
    shell = get_shell()
    if delete == (version is not None):
        raise click.UsageError("Give either a VERSION, or --delete.")
    if version is None:
        shell.client.delete_model_alias(name, alias)
        message = f"{name}@{alias} is removed."
    else:
        shell.client.set_model_alias(name, alias, version)
        message = f"{name}@{alias} is version {version}."
    if shell.as_json:
        shell.print_json({"model": name, "alias": alias, "version": version})
    else:
        shell.print(message)


@models.command("download")
@model_argument
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the files. [default: NAME-VERSION]",
)
def download_model(name: str, output: Path | None) -> None:
    """Download the files of a model version; each is checked against its checksum."""
    shell = get_shell()
    version = shell.client.find_model_version(name)
    folder = output or Path(f"{version.name}-{version.version}")
    paths = shell.client.download_model(version.name, version.version, folder)
    if shell.as_json:
        shell.print_json({"folder": str(folder), "files": [str(path) for path in paths]})
    else:
        shell.print(*(str(path) for path in paths))


@models.command("delete")
@click.argument("name", metavar="NAME", shell_complete=complete_model)
@click.argument("version", type=click.IntRange(1))
def delete_model(name: str, version: int) -> None:
    """Delete one VERSION of the model NAME, with its files, report and aliases."""
    shell = get_shell()
    shell.client.delete_model_version(name, version)
    if shell.as_json:
        shell.print_json({"deleted": f"{name}@{version}"})
    else:
        shell.print(f"{name}@{version} is deleted.")


def _describe(version: ModelVersion) -> list[tuple[str, object]]:
    classes = version.manifest.get("classes") or []
    return [
        ("data set", version.dataset),
        ("network", version.network),
        ("accuracy", f"{version.accuracy:.2%}"),
        ("classes", ", ".join(map(str, classes))),
        ("aliases", ", ".join(version.aliases)),
        ("job", "" if version.job_id is None else version.job_id),
        ("size", format_size(version.size_bytes)),
    ]
