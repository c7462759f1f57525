"""How often things break, the laboratory, and the table at the end."""

from collections.abc import Callable, Iterator

import pytest

from faults.lab import Lab, Row

ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--rounds", type=int, default=1, help="stores in which ten objects are damaged or deleted (1)")
    group.addoption("--kills", type=int, default=1, help="how often the drivers of tune and of paper are killed (1)")
    group.addoption("--fault-seed", type=int, default=0, help="which objects are hit, and when (0)")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The laboratory without a Ray session."""
    return Lab(tmp_path_factory.mktemp("lab"), request.config.getoption("--fault-seed"))


@pytest.fixture(scope="session")
def ray_lab(lab: Lab) -> Iterator[Lab]:
    """The laboratory with a Ray session, an S3 server and a proxy, after an undisturbed run."""
    with lab.session():
        assert lab.undisturbed.results
        yield lab


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Put a row in the table; the test fails where a result was lost or changed."""
    rows = request.config.stash.setdefault(ROWS, [])

    def note(row: Row) -> None:
        rows.append(row)
        assert (row.lost, row.changed) == (0, 0), row

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of the README's section about faults, as Markdown."""
    if rows := config.stash.get(ROWS, []):
        terminalreporter.write_sep("=", "what it lost when things broke")
        terminalreporter.write_line("| fault | times | results lost | changed | cost |\n|---|---|---|---|---|")
        for row in rows:
            terminalreporter.write_line(f"| {row.fault} | {row.times} | {row.lost} | {row.changed} | {row.cost} |")
        times, lost, changed = (sum(getattr(row, name) for row in rows) for name in ("times", "lost", "changed"))
        terminalreporter.write_line(f"\n{times} faults: {lost} results lost, {changed} changed")
