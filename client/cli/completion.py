"""Shell completion: the script for the shell, and the names that only the service knows."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from client.errors import TenfoldError
from client.retries import RetryPolicy
from client.tenfold import Tenfold

# Whoever presses the tab key does not wait for a service that is not there.
_TIMEOUT_SECONDS = 1.0
_MOST_NAMES = 50

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, add this line to ~/.bashrc: eval "$(tenfold completion bash)"
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = ctx.find_root().command
    click.echo(completion_class(root, {}, "tenfold", "_TENFOLD_COMPLETE").source())


def complete_with(list_names: Callable[[Tenfold], Iterable[tuple[str, str]]]) -> Complete:
    """Return a completion that asks the service for names and what they mean; silent if it fails.

    `list_names` yields (name, help).
    """

    def complete(
        ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            with Tenfold(
                ctx.params.get("url"),
                api_key=ctx.params.get("api_key"),
                retries=RetryPolicy(attempts=1),
                timeout_seconds=_TIMEOUT_SECONDS,
            ) as client:
                return [
                    CompletionItem(name, help=meaning)
                    for name, meaning in list_names(client)
                    if name.startswith(incomplete)
                ][:_MOST_NAMES]
        except (TenfoldError, ValueError):
            return []

    return complete


complete_recipe = complete_with(
    lambda client: [(recipe.name, recipe.description) for recipe in client.list_recipes()]
)
complete_dataset = complete_with(
    lambda client: [(dataset.name, dataset.state) for dataset in client.list_datasets()]
)
complete_network = complete_with(
    lambda client: [(network.name, network.summary) for network in client.list_networks()]
)
complete_model = complete_with(
    lambda client: (
        (model.name, f"{model.newest.accuracy:.1%} on {model.newest.dataset}")
        for model in client.list_models()
    )
)


@complete_with
def complete_job(client: Tenfold) -> Iterable[tuple[str, str]]:
    # Ids are numbers: the newest are what one means.
    for job, _ in zip(client.list_jobs(), range(_MOST_NAMES), strict=False):
        yield str(job.id), f"{job.model_name} {job.status}"


@complete_with
def complete_sweep(client: Tenfold) -> Iterable[tuple[str, str]]:
    for sweep, _ in zip(client.list_sweeps(), range(_MOST_NAMES), strict=False):
        yield str(sweep.id), f"{sweep.model_name} {sweep.status}"
