"""The two transports: they perform the steps of a flow, and know nothing of what it is for."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from httpx_sse import EventSource

from client.calls import Call
from client.flows import Flow, Item, NextEvent, Sleep, Step, add_retries
from client.retries import RetryPolicy
from client.settings import is_loopback, resolve_api_key, resolve_url

Value = TypeVar("Value")
_STREAMS = "tenfold.event_stream"


@dataclass(frozen=True)
class Connection:
    """Where the service is and how patiently it is asked."""

    url: str
    retries: RetryPolicy
    # A stream is never silent for longer: the service pings it every 15 s.
    timeout: httpx.Timeout
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def resolve(
        cls,
        url: str | None,
        api_key: str | None,
        retries: RetryPolicy | None,
        timeout_seconds: float,
    ) -> "Connection":
        return cls(
            resolve_url(url),
            retries or RetryPolicy(),
            httpx.Timeout(timeout_seconds, connect=min(5.0, timeout_seconds)),
            resolve_api_key(api_key),
        )

    def make_options(self) -> dict[str, Any]:
        """Return the arguments of httpx.Client and httpx.AsyncClient."""
        headers = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self.timeout,
            "trust_env": not is_loopback(self.url),
            "follow_redirects": False,
        }


class SyncRunner:
    """Performs flows on the calling thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.Client(**connection.make_options())

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[Value]) -> Value:
        """Perform the flow and return its result."""
        steps = add_retries(flow, self._connection.retries, self._connection.url)
        result: Any = None
        with closing(steps), closing(flow), ExitStack() as streams:
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as stop:
                    value: Value = stop.value
                    return value
                result = self._perform(step, streams)

    def iterate(self, flow: Flow[None]) -> Iterator[Any]:
        """Perform the flow and yield its items."""
        steps = add_retries(flow, self._connection.retries, self._connection.url)
        result: Any = None
        with closing(steps), closing(flow), ExitStack() as streams:
            while True:
                try:
                    step = steps.send(result)
                except StopIteration:
                    return
                if isinstance(step, Item):
                    result = None
                    yield step.value
                else:
                    result = self._perform(step, streams)

    def _perform(self, step: Step, streams: ExitStack) -> Any:
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        try:
            if isinstance(step, NextEvent):
                return next(step.stream.extensions[_STREAMS], None)
            return self._send(step, streams)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            return error

    def _send(self, call: Call[Any], streams: ExitStack) -> httpx.Response:
        request = call.make_request(self._http)
        response = self._http.send(request, stream=True)
        if call.is_stream and response.status_code == httpx.codes.OK:
            streams.callback(response.close)
            response.extensions[_STREAMS] = EventSource(response).iter_sse()
            return response
        with closing(response):
            if call.sink is None or response.is_error:
                response.read()
            else:
                call.sink.restart()
                for chunk in response.iter_bytes():
                    call.sink.write(chunk)
        return response


class AsyncRunner:
    """Performs flows on the running event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(**connection.make_options())

    async def aclose(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[Value]) -> Value:
        """Perform the flow and return its result."""
        steps = add_retries(flow, self._connection.retries, self._connection.url)
        result: Any = None
        async with AsyncExitStack() as streams:
            streams.enter_context(closing(flow))
            streams.enter_context(closing(steps))
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as stop:
                    value: Value = stop.value
                    return value
                result = await self._perform(step, streams)

    async def iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        """Perform the flow and yield its items."""
        steps = add_retries(flow, self._connection.retries, self._connection.url)
        result: Any = None
        async with AsyncExitStack() as streams:
            streams.enter_context(closing(flow))
            streams.enter_context(closing(steps))
            while True:
                try:
                    step = steps.send(result)
                except StopIteration:
                    return
                if isinstance(step, Item):
                    result = None
                    yield step.value
                else:
                    result = await self._perform(step, streams)

    async def _perform(self, step: Step, streams: AsyncExitStack) -> Any:
        if isinstance(step, Sleep):
            return await asyncio.sleep(step.seconds)
        try:
            if isinstance(step, NextEvent):
                return await anext(step.stream.extensions[_STREAMS], None)
            return await self._send(step, streams)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            return error

    async def _send(self, call: Call[Any], streams: AsyncExitStack) -> httpx.Response:
        request = call.make_request(self._http)
        response = await self._http.send(request, stream=True)
        if call.is_stream and response.status_code == httpx.codes.OK:
            streams.push_async_callback(response.aclose)
            response.extensions[_STREAMS] = EventSource(response).aiter_sse()
            return response
        try:
            if call.sink is None or response.is_error:
                await response.aread()
            else:
                call.sink.restart()
                async for chunk in response.aiter_bytes():
                    await asyncio.to_thread(call.sink.write, chunk)
        finally:
            await response.aclose()
        return response
