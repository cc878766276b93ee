"""Methods that are written once, as flows, and work on `Tenfold` and on `AsyncTenfold`.

On a synchronous object a decorated method performs its flow and returns the result; on an
asynchronous one it returns a coroutine, or an asynchronous iterator. Type checkers see which.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from client.flows import Flow, Items
from client.runners import AsyncRunner, SyncRunner
from client.schemas import JobRecord

if TYPE_CHECKING:
    from client.jobs import AsyncJob, Job

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


class Synchronous:
    """Something whose operations block."""

    _runner: SyncRunner

    def _own_job(self, record: JobRecord) -> "Job":
        raise NotImplementedError


class Asynchronous:
    """Something whose operations are awaited."""

    _runner: AsyncRunner

    def _own_job(self, record: JobRecord) -> "AsyncJob":
        raise NotImplementedError


class operation(Generic[Parameters, Value]):  # noqa: N801 -- a decorator, as `property` is
    """Makes a method of a flow; it returns what the flow returns."""

    def __init__(self, function: Callable[Concatenate[Any, Parameters], Flow[Value]]) -> None:
        self._function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: type) -> Callable[Parameters, Value]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type
    ) -> Callable[Parameters, Coroutine[Any, Any, Value]]: ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: type) -> Any:
        if instance is None:
            return self
        return _bind(self._function, instance, SyncRunner.run, AsyncRunner.run)


class job_operation(Generic[Parameters]):  # noqa: N801
    """Makes a method of a flow that ends with a job; it returns a `Job` or an `AsyncJob`."""

    def __init__(self, function: Callable[Concatenate[Any, Parameters], Flow[JobRecord]]) -> None:
        self._function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: type) -> "Callable[Parameters, Job]": ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type
    ) -> "Callable[Parameters, Coroutine[Any, Any, AsyncJob]]": ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: type) -> Any:
        if instance is None:
            return self

        def run(runner: SyncRunner, flow: Flow[JobRecord]) -> Any:
            return instance._own_job(runner.run(flow))  # noqa: SLF001

        async def run_on_loop(runner: AsyncRunner, flow: Flow[JobRecord]) -> Any:
            return instance._own_job(await runner.run(flow))  # noqa: SLF001

        return _bind(self._function, instance, run, run_on_loop)


class iteration(Generic[Parameters, Value]):  # noqa: N801
    """Makes a method of a flow that yields items; it returns an iterator over their values."""

    def __init__(self, function: Callable[Concatenate[Any, Parameters], Items[Value]]) -> None:
        self._function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, instance: Synchronous, owner: type
    ) -> Callable[Parameters, Iterator[Value]]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type
    ) -> Callable[Parameters, AsyncIterator[Value]]: ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: type) -> Any:
        if instance is None:
            return self
        return _bind(self._function, instance, SyncRunner.iterate, AsyncRunner.iterate)


class job_iteration(Generic[Parameters]):  # noqa: N801
    """Makes a method of a flow that yields jobs; it returns an iterator over them, each a `Job`."""

    def __init__(self, function: Callable[Concatenate[Any, Parameters], Items[JobRecord]]) -> None:
        self._function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, instance: Synchronous, owner: type
    ) -> "Callable[Parameters, Iterator[Job]]": ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type
    ) -> "Callable[Parameters, AsyncIterator[AsyncJob]]": ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: type) -> Any:
        if instance is None:
            return self

        def iterate(runner: SyncRunner, flow: Items[JobRecord]) -> Iterator[Any]:
            return (instance._own_job(record) for record in runner.iterate(flow))  # noqa: SLF001

        def iterate_on_loop(runner: AsyncRunner, flow: Items[JobRecord]) -> AsyncIterator[Any]:
            return (
                instance._own_job(record)  # noqa: SLF001
                async for record in runner.iterate(flow)
            )

        return _bind(self._function, instance, iterate, iterate_on_loop)


def _bind(
    function: Callable[..., Any],
    instance: Synchronous | Asynchronous,
    on_thread: Callable[[SyncRunner, Any], Any],
    on_loop: Callable[[AsyncRunner, Any], Any],
) -> Any:
    """Return the method: it makes the flow, and hands it to the instance's runner."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        flow = function(instance, *arguments, **options)
        if isinstance(instance, Synchronous):
            return on_thread(instance._runner, flow)  # noqa: SLF001 -- its own class family
        return on_loop(instance._runner, flow)  # noqa: SLF001

    return call
