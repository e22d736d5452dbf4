"""SIGTERM unwinds a block, and means what it meant before once that is over."""

import os
import signal
import threading

import pytest

from pretune.core.termination import sigterm_unwinds


def test_sigterm_unwinds_the_block_and_only_that():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left, sigterm_unwinds():
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_in_another_thread_nothing_changes():
    seen = []

    def look():
        with sigterm_unwinds():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
