"""An event loop without a world: time passes only when nothing else can happen.

Whatever is ready runs in the order in which it became so; of timers that are due together, chance
picks the next. When nothing is ready the clock jumps to the next timer. When there is none either,
nothing will ever happen again, and who still waits has been forgotten by everybody: `StuckError`.
"""

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context
from random import Random


class StuckError(AssertionError):
    """Something waits for what cannot come."""


class Loop(asyncio.BaseEventLoop):
    """See the module.

    Attributes:
        turns: Callbacks that were run so far.
        may_run: Asked for each callback's context; what is refused is thrown away.
    """

    def __init__(self, chance: Random | None = None) -> None:
        super().__init__()
        self.turns = 0
        self.may_run: Callable[[Context], bool] | None = None
        self._now = 0.0
        self._chance = chance or Random(0)

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass at once; timers that come due meanwhile are late."""
        self._now += seconds

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        # A moment's difference, so that what is due together comes in any order.
        return super().call_at(
            when + self._chance.random() * 1e-6, callback, *args, context=context
        )

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: object) -> None:
        pass

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                if self._stopping:  # type: ignore[attr-defined]
                    return
                raise StuckError("nothing can ever happen again, and somebody waits")
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled or (self.may_run and not self.may_run(handle._context)):
                continue
            self.turns += 1
            handle._run()

    def _asyncgen_finalizer_hook(self, agen: object) -> None:
        """Nobody ends what a dead node has begun."""

    def close(self) -> None:
        if not self.is_closed():
            super().close()
