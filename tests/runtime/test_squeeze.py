"""Chunks are made smaller and back, by any number of threads, with few tools."""

import os
from concurrent.futures import ThreadPoolExecutor

from aeorsync.runtime import squeeze
from aeorsync.runtime.squeeze import expand


def there_and_back(number: int) -> bool:
    plain = os.urandom(64) * (50 + number) + b"%d" % number
    squeezed = squeeze.squeeze(plain)
    return squeezed is not None and expand(squeezed, len(plain)) == plain


def test_threads_that_take_turns_share_a_compressor() -> None:
    there_and_back(0)
    before = len(squeeze._compressors._idle)
    for number in range(20):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(there_and_back, number).result()
    assert len(squeeze._compressors._idle) == before


def test_threads_that_work_at_once_do_not_share_one() -> None:
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(400)))
    assert len(squeeze._compressors._idle) <= 9
    with squeeze._compressors.one() as one, squeeze._compressors.one() as other:
        assert one is not other
