"""A progress bar for people who watch a job in a terminal: how many are done, how fast, and how long the rest takes.

Logs and pipes get a line for each finished part instead: `ray job logs` shows no carriage returns.
"""

import sys
import time
from typing import TYPE_CHECKING, TextIO

from aman.sheets.text import printable
from aman.step import Step

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDE = 60
"""Columns of a terminal that has room for the bar; a narrower one gets `clips 3/12` alone."""


class Bars:
    """Shows lines: a `Step` moves the bar of its work, and all other lines scroll by above it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self.progress: Progress | None = None
        self.bars: dict[str, TaskID] = {}
        self.first: tuple[int, float] = 0, 0.0
        """How much was done at the first step of the present work, and when."""

    def show(self, line: str) -> None:
        """Show a line. A bar is drawn where the stream is a terminal and `rich` is installed, and ends when its work is
        done."""
        stream = self.stream or sys.stdout
        if isinstance(line, Step) and (self.progress or (stream.isatty() and self._begin(stream))):
            self._move(line)
        elif self.progress is not None:
            self.progress.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            print(printable(line), file=stream, flush=True)

    def close(self) -> None:
        """Take the bar away from the last line of the terminal, whatever is done."""
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.bars = None, {}

    def _begin(self, stream: TextIO) -> bool:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        except ModuleNotFoundError:
            return False
        console = Console(file=stream, highlight=False)
        work, rate, last = (TextColumn(f"{{task.fields[{one}]}}", markup=False) for one in ("work", "rate", "last"))
        narrow, wide = (work, MofNCompleteColumn()), (work, BarColumn(bar_width=24), MofNCompleteColumn(), rate, last)
        self.progress = Progress(
            *(wide if console.width >= WIDE else narrow),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.progress.start()
        return True

    def _move(self, step: Step) -> None:
        assert self.progress is not None
        if step.news:
            self.progress.console.print(printable(step), markup=False, highlight=False, soft_wrap=True)
        if step.work not in self.bars:
            self.first = step.done, time.monotonic()
            self.bars[step.work] = self.progress.add_task("", total=step.all, work=step.work, rate="", last="")
        finished, seconds = step.done - self.first[0], time.monotonic() - self.first[1]
        self.progress.update(
            self.bars[step.work],
            completed=step.done,
            total=step.all,
            rate=f"{60 * finished / seconds:.3g} a minute" if finished and seconds else "",
            last=printable(step).partition(": ")[2],
        )
        if step.done >= step.all:
            self.close()


BARS = Bars()
"""The bars of this process."""
