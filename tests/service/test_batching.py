"""The batcher, run with real threads; each test holds the runner where it needs it."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.batching import Batcher, DeadlineExceededError, OverloadedError

LONG_SECONDS = 30.0


class Recorder:
    """Runs batches of numbers, squaring them, and observes the batcher."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.waited: list[float] = []
        self.ended: list[int] = []
        self.dropped: list[str] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.is_running = threading.Event()

    def run(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.is_running.set()
        assert self.may_run.wait(LONG_SECONDS)
        if 13 in items:
            raise RuntimeError("the whole batch is lost")
        return [ValueError(f"bad {item}") if item < 0 else item * item for item in items]

    def hold(self) -> None:
        self.may_run.clear()
        self.is_running.clear()

    def batch_ended(self, size: int, waited_seconds: Sequence[float], ran_seconds: float) -> None:
        self.ended.append(size)
        self.waited.extend(waited_seconds)

    def request_dropped(self, reason: str) -> None:
        self.dropped.append(reason)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.may_run.set()


Scenario = Callable[[Batcher[int, int]], Awaitable[None]]
Play = Callable[[Scenario], None]


def run_scenario(
    scenario: Scenario, recorder: Recorder, executor: ThreadPoolExecutor | None
) -> None:
    """Run a scenario with a batcher of at most 4 items a batch and 10 that wait."""

    async def main() -> None:
        batcher = Batcher(
            recorder.run, executor, max_batch_items=4, max_waiting_items=10, observer=recorder
        )
        await asyncio.wait_for(scenario(batcher), LONG_SECONDS)

    asyncio.run(main())


@pytest.fixture
def play(executor: ThreadPoolExecutor, recorder: Recorder) -> Play:
    return lambda scenario: run_scenario(scenario, recorder, executor)


@pytest.fixture
def play_on_loop(recorder: Recorder) -> Play:
    """The same without an executor: batches run on the event loop."""
    return lambda scenario: run_scenario(scenario, recorder, None)


async def occupy(batcher: Batcher[int, int], recorder: Recorder) -> Awaitable[object]:
    """Start a batch that runs until `recorder.may_run` is set, and return its future."""
    recorder.hold()
    future = batcher.submit([0], LONG_SECONDS)
    assert await asyncio.to_thread(recorder.is_running.wait, LONG_SECONDS)
    return future


def test_a_full_batch_starts_although_the_event_loop_is_busy(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        second = batcher.submit([1, 2, 3, 4], LONG_SECONDS)
        third = batcher.submit([5], LONG_SECONDS)
        assert batcher.waiting_items == 5
        recorder.may_run.set()
        deadline = time.monotonic() + LONG_SECONDS
        while len(recorder.batches) < 2:  # nothing else has its turn on the loop meanwhile
            assert time.monotonic() < deadline
        await first
        assert [await second, await third] == [[1, 4, 9, 16], [25]]
        assert batcher.waiting_items == 0

    play(scenario)
    assert recorder.batches == [[0], [1, 2, 3, 4], [5]]


def test_a_batch_that_is_ready_takes_no_second_thread(
    recorder: Recorder, executor: ThreadPoolExecutor
) -> None:
    running, most = threading.Semaphore(1), []

    def run(items: Sequence[int]) -> list[int | Exception]:
        most.append(running.acquire(blocking=False))
        time.sleep(0.001)
        running.release()
        return [item * item for item in items]

    async def scenario(batcher: Batcher[int, int]) -> None:
        for _ in range(50):
            futures = [batcher.submit([number, number], LONG_SECONDS) for number in range(5)]
            await asyncio.gather(*futures)

    recorder.run = run  # type: ignore[method-assign]
    run_scenario(scenario, recorder, executor)
    assert all(most)


def test_a_lone_item_runs_at_once(play: Play, recorder: Recorder) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        assert await batcher.submit([3], LONG_SECONDS) == [9]
        assert batcher.waiting_items == 0

    play(scenario)
    assert recorder.batches == [[3]]


def test_items_that_arrive_while_a_batch_runs_form_the_next_one(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        others = [batcher.submit([number], LONG_SECONDS) for number in (1, 2, 3)]
        assert batcher.waiting_items == 3
        assert batcher.oldest_wait_seconds >= 0
        recorder.may_run.set()
        await first
        assert await asyncio.gather(*others) == [[1], [4], [9]]

    play(scenario)
    assert recorder.batches == [[0], [1, 2, 3]]
    assert recorder.ended == [1, 3]
    assert len(recorder.waited) == 4


def test_every_reply_goes_to_its_own_request(play: Play) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        for start in range(20, 400, 4):
            numbers = range(start, start + 4)
            replies = await asyncio.gather(
                *(batcher.submit([number], LONG_SECONDS) for number in numbers)
            )
            assert replies == [[number * number] for number in numbers]

    play(scenario)


def test_a_request_larger_than_a_batch_is_split_and_answered_whole(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        numbers = list(range(10))
        reply = await batcher.submit(numbers, LONG_SECONDS)
        assert reply == [number * number for number in numbers]

    play(scenario)
    assert [len(batch) for batch in recorder.batches] == [4, 4, 2]


def test_a_split_request_shares_its_last_batch(play: Play, recorder: Recorder) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        large = batcher.submit([1, 2, 3, 4, 5], LONG_SECONDS)
        small = batcher.submit([6], LONG_SECONDS)
        recorder.may_run.set()
        await first
        assert await large == [1, 4, 9, 16, 25]
        assert await small == [36]

    play(scenario)
    assert recorder.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_beyond_the_bound_a_request_is_refused_with_a_time_to_return(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        waiting = batcher.submit(list(range(1, 9)), LONG_SECONDS)
        with pytest.raises(OverloadedError) as refusal:
            batcher.submit([1, 2, 3], LONG_SECONDS)
        assert refusal.value.details["retry_after_seconds"] >= 1
        fits = batcher.submit([1, 2], LONG_SECONDS)
        recorder.may_run.set()
        await asyncio.gather(first, waiting, fits)

    play(scenario)


def test_the_time_to_return_grows_with_what_batches_took(play: Play, recorder: Recorder) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        assert batcher.estimate_wait_seconds() == 0
        recorder.hold()
        slow = batcher.submit([1], LONG_SECONDS)
        await asyncio.sleep(0.2)
        recorder.may_run.set()
        await slow
        first = await occupy(batcher, recorder)
        waiting = batcher.submit(list(range(1, 11)), LONG_SECONDS)
        assert batcher.estimate_wait_seconds() >= 11 * 0.2
        with pytest.raises(OverloadedError) as refusal:
            batcher.submit([1], LONG_SECONDS)
        assert refusal.value.details["retry_after_seconds"] >= 3
        recorder.may_run.set()
        await asyncio.gather(first, waiting)

    play(scenario)


def test_a_cancelled_request_is_dropped_when_the_batch_forms(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        leaver = batcher.submit([1], LONG_SECONDS)
        stayer = batcher.submit([2], LONG_SECONDS)
        leaver.cancel()
        recorder.may_run.set()
        await first
        assert await stayer == [4]
        assert batcher.waiting_items == 0

    play(scenario)
    assert recorder.batches == [[0], [2]]
    assert recorder.dropped == ["cancelled"]


def test_a_request_cancelled_while_it_runs_does_not_harm_its_batch(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        leaver = batcher.submit([1], LONG_SECONDS)
        stayer = batcher.submit([2], LONG_SECONDS)
        recorder.may_run.set()
        await first
        leaver.cancel()
        assert await stayer == [4]
        assert await batcher.submit([5], LONG_SECONDS) == [25]

    play(scenario)


def test_the_rest_of_a_split_request_is_dropped_when_it_is_cancelled(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        recorder.hold()
        leaver = batcher.submit(list(range(10)), LONG_SECONDS)
        assert await asyncio.to_thread(recorder.is_running.wait, LONG_SECONDS)
        leaver.cancel()
        recorder.may_run.set()
        assert await batcher.submit([7], LONG_SECONDS) == [49]
        assert batcher.waiting_items == 0

    play(scenario)
    # The second batch was full and ready; what was left over is dropped.
    assert recorder.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [7]]


def test_a_request_past_its_deadline_is_dropped_when_the_batch_forms(
    play: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        late = batcher.submit([1], 0.0)
        patient = batcher.submit([2], LONG_SECONDS)
        await asyncio.sleep(0.01)
        recorder.may_run.set()
        await first
        with pytest.raises(DeadlineExceededError):
            await late
        assert await patient == [4]

    play(scenario)
    assert recorder.batches == [[0], [2]]
    assert recorder.dropped == ["expired"]


def test_a_bad_item_gets_its_own_error_and_the_others_their_results(play: Play) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        good, bad, last = await batcher.submit([2, -1, 3], LONG_SECONDS)
        assert (good, last) == (4, 9)
        assert isinstance(bad, ValueError)

    play(scenario)


def test_when_a_whole_batch_fails_each_item_runs_alone(
    play: Play, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        first = await occupy(batcher, recorder)
        requests = [batcher.submit([number], LONG_SECONDS) for number in (5, 13, 6)]
        recorder.may_run.set()
        await first
        fine, lost, fine_too = await asyncio.gather(*requests)
        assert (fine, fine_too) == ([25], [36])
        assert isinstance(lost[0], RuntimeError)
        assert await batcher.submit([7], LONG_SECONDS) == [49]

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert recorder.batches == [[0], [5, 13, 6], [5], [13], [6], [7]]
    assert "the whole batch is lost" in caplog.text


def test_on_the_loop_all_who_come_in_one_turn_run_together(
    play_on_loop: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        for start in (1, 4):
            numbers = range(start, start + 3)
            replies = await asyncio.gather(
                *(batcher.submit([number], LONG_SECONDS) for number in numbers)
            )
            assert replies == [[number * number] for number in numbers]
        assert batcher.waiting_items == 0

    play_on_loop(scenario)
    assert recorder.batches == [[1, 2, 3], [4, 5, 6]]
    assert recorder.ended == [3, 3]


def test_on_the_loop_others_have_their_turn_between_two_batches(
    play_on_loop: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        request = batcher.submit(list(range(10)), LONG_SECONDS)
        ran_at_turn = []
        while not request.done():
            await asyncio.sleep(0)
            ran_at_turn.append(len(recorder.batches))
        assert ran_at_turn[:3] == [1, 2, 3]

    play_on_loop(scenario)
    assert recorder.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_on_the_loop_who_leaves_before_the_turn_is_not_run(
    play_on_loop: Play, recorder: Recorder
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        leaver, late = batcher.submit([1], LONG_SECONDS), batcher.submit([2], -1.0)
        stayer = batcher.submit([3, 13], LONG_SECONDS)
        leaver.cancel()
        fine, lost = await stayer
        assert fine == 9
        assert isinstance(lost, RuntimeError)
        with pytest.raises(DeadlineExceededError):
            await late
        assert await batcher.submit([4], LONG_SECONDS) == [16]

    play_on_loop(scenario)
    assert recorder.batches == [[3, 13], [3], [13], [4]]
    assert recorder.dropped == ["cancelled", "expired"]


def run_two_at_once(
    scenario: Scenario,
    run: Callable[[Sequence[int]], list[int | Exception]],
    recorder: Recorder,
    executor: ThreadPoolExecutor,
) -> None:
    """Run a scenario with a batcher of at most two batches at once, of 4 items each."""

    async def main() -> None:
        batcher = Batcher(
            run,
            executor,
            max_batch_items=4,
            max_running_batches=2,
            max_waiting_items=10,
            observer=recorder,
        )
        await asyncio.wait_for(scenario(batcher), LONG_SECONDS)

    asyncio.run(main())


def test_no_more_batches_run_at_once_than_may(
    recorder: Recorder, executor: ThreadPoolExecutor
) -> None:
    async def scenario(batcher: Batcher[int, int]) -> None:
        recorder.hold()
        futures = [batcher.submit([number], LONG_SECONDS) for number in (1, 2, 3, 4)]
        assert batcher.waiting_items == 2
        recorder.may_run.set()
        assert await asyncio.gather(*futures) == [[1], [4], [9], [16]]
        assert batcher.waiting_items == 0
        assert await batcher.submit([5], LONG_SECONDS) == [25]

    run_two_at_once(scenario, recorder.run, recorder, executor)
    assert sorted(map(len, recorder.batches)) == [1, 1, 1, 2]
    assert sum(recorder.ended) == 5


def test_a_split_request_has_its_order_when_its_second_batch_ends_first(
    recorder: Recorder, executor: ThreadPoolExecutor
) -> None:
    second_has_ended = threading.Event()
    recorder.batch_ended = lambda *_: second_has_ended.set()  # type: ignore[method-assign]

    def run(items: Sequence[int]) -> list[int | Exception]:
        if items[0] == 0:
            assert second_has_ended.wait(LONG_SECONDS)
        return [item * item for item in items]

    async def scenario(batcher: Batcher[int, int]) -> None:
        reply = await batcher.submit(list(range(6)), LONG_SECONDS)
        assert reply == [0, 1, 4, 9, 16, 25]

    run_two_at_once(scenario, run, recorder, executor)
