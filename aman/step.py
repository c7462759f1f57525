"""Lines for people about one finished part of some work, which also say how much of it is done."""


class Step(str):
    """A line as text, `clip 3/12 casme2/sub01/EP02_01f: 1.6 s, ETA 0:14`. A terminal may show a bar in its place."""

    work: str
    """What is counted: `clips`, `folds`."""
    done: int
    """How many are finished."""
    all: int
    """How many there are, or may be at most."""
    news: bool
    """Whether a person should read the line, for it names what went wrong."""

    def __new__(cls, line: str, *, work: str, done: int, all: int, news: bool = False) -> "Step":
        made = super().__new__(cls, line)
        made.work, made.done, made.all, made.news = work, done, all, news
        return made
