"""When a job is told to end, it says so at once. Ray may then take seconds to end its session."""

import os
import signal
from contextlib import suppress
from weakref import finalize

from cluster.machines.watch import STDERR
from jobs.progress_bar import BARS

SENTENCE = "interrupted: what is finished stays, the same command goes on from there"


class Interrupts:
    """Handles Ctrl-C and SIGTERM, which SLURM, `docker stop` and `ray job stop` send, from now on: one sentence, and
    `KeyboardInterrupt` in the main thread. Ctrl-C stays ignored where a shell started the job in the background."""

    def __init__(self) -> None:
        self.said = False
        self.stderr = -1
        with suppress(OSError):  # where a shell closed it
            self.stderr = os.dup(STDERR)  # while a session ends, what libraries write to the usual one goes nowhere
            finalize(self, os.close, self.stderr)
        signal.signal(signal.SIGTERM, self._raise)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._raise)

    def say(self) -> None:
        """Say the sentence, once. It goes past Python's streams, one of which may be in the middle of a line."""
        if not self.said:
            self.said = True
            begin = "\n" if BARS.progress else ""
            with suppress(OSError):  # where nobody reads it any more
                os.write(self.stderr, f"{begin}{SENTENCE}\n".encode())

    def _raise(self, *_: object) -> None:
        self.say()
        raise KeyboardInterrupt
