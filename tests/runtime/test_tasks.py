"""What fails starts again, later and later; what is stopped has stopped."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.runtime import tasks
from aeorsync.runtime.tasks import Supervisor, backoff


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [(1, 1.0, 0.5), (2, 1.0, 1.0), (3, 1.0, 2.0), (3, 0.0, 1.0), (8, 1.0, 60.0), (8, 0.0, 30.0)],
)
def test_the_pause_doubles_up_to_its_cap(failures: int, jitter: float, seconds: float) -> None:
    assert backoff(failures, 0.5, 60.0, jitter) == seconds


@given(st.integers(0, 10**9), st.floats(0.001, 10), st.floats(10, 1000), st.floats(0, 1))
def test_a_pause_is_never_longer_than_its_cap_nor_zero(
    failures: int, base: float, cap: float, jitter: float
) -> None:
    pause = backoff(failures, base, cap, jitter)
    assert 0 < pause <= cap
    assert pause <= backoff(failures + 1, base, cap, jitter)


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _supervisor() -> Supervisor:
    return Supervisor(jitter=lambda: 0.0, base=0.001, cap=0.002)


def test_a_loop_that_fails_is_called_again() -> None:
    async def main() -> None:
        calls: list[int] = []
        recovered = asyncio.Event()

        async def loop() -> None:
            calls.append(1)
            if len(calls) == 2:
                raise asyncio.CancelledError  # of something it waited for
            if len(calls) < 4:
                message = "again"
                raise ValueError(message)
            recovered.set()
            await _for_ever()

        async with _supervisor() as supervisor:
            supervisor.start("loop", loop)
            await asyncio.wait_for(recovered.wait(), 5)
            assert supervisor.names == ["loop"]
        assert supervisor.names == []
        assert len(calls) == 4

    asyncio.run(main())


def test_pauses_grow_while_a_loop_fails_and_start_again_after_a_long_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []
    enough = asyncio.Event()

    def counted(failures: int, base: float, cap: float, jitter: float) -> float:
        counts.append(failures)
        if len(counts) == 5:
            enough.set()
        return backoff(failures, base, cap, jitter)

    async def main() -> None:
        async def loop() -> None:
            if len(counts) == 3:
                await asyncio.sleep(0.01)  # longer than the cap
            message = "again"
            raise ValueError(message)

        async with _supervisor() as supervisor:
            supervisor.start("loop", loop)
            await asyncio.wait_for(enough.wait(), 5)

    monkeypatch.setattr(tasks, "backoff", counted)
    asyncio.run(main())
    assert counts[:5] == [1, 2, 3, 1, 2]


def test_a_loop_that_returns_is_done() -> None:
    async def main() -> None:
        calls: list[int] = []

        async def loop() -> None:
            calls.append(1)

        async with _supervisor() as supervisor:
            supervisor.start("loop", loop)
            await asyncio.sleep(0.01)
            assert calls == [1]
            assert supervisor.names == []
            supervisor.start("loop", loop)

    asyncio.run(main())


def test_one_name_runs_once() -> None:
    async def main() -> None:
        async with _supervisor() as supervisor:
            supervisor.start("loop", _for_ever)
            with pytest.raises(ValueError, match="loop"):
                supervisor.start("loop", _for_ever)

    asyncio.run(main())


def test_a_stopped_loop_has_cleaned_up_and_its_name_is_free() -> None:
    async def main() -> None:
        cleaned: list[str] = []

        async def loop() -> None:
            try:
                await _for_ever()
            finally:
                await asyncio.sleep(0.005)
                cleaned.append("loop")

        async with _supervisor() as supervisor:
            supervisor.start("other", _for_ever)
            supervisor.start("loop", loop)
            await asyncio.sleep(0)
            await supervisor.stop("loop")
            assert cleaned == ["loop"]
            assert supervisor.names == ["other"]
            await supervisor.stop("loop")
            supervisor.start("loop", loop)
            await asyncio.sleep(0)
        assert cleaned == ["loop", "loop"]

    asyncio.run(main())


def test_a_loop_is_stopped_also_while_it_pauses() -> None:
    async def main() -> None:
        async def loop() -> None:
            message = "always"
            raise ValueError(message)

        async with Supervisor(jitter=lambda: 1.0, base=60, cap=60) as supervisor:
            supervisor.start("loop", loop)
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 5))


def test_an_error_of_the_owner_stops_the_loops_and_goes_on() -> None:
    async def main() -> None:
        message = "mine"
        async with _supervisor() as supervisor:
            supervisor.start("loop", _for_ever)
            raise KeyError(message)

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())
