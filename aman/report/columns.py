"""Finished runs sorted into what may be compared: a column is one protocol on its very clips, a configuration is
everything but the seed, and a sweep is the configurations that agree in every setting but one."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aman.methods import USUAL
from aman.runs import WITHOUT_EFFECT, Run

PAPER_BEST = {"k": 9, "levels": "all", "n": 11, "attention": "both"}
"""The configuration of the paper's Table 2."""


CEILING_CHOSEN = "k chosen by inner folds"
"""What a run is called whose level ceiling differs from subject to subject."""
LEVEL_CHOSEN = "fixed level chosen by inner folds"
"""What a run is called that sees one level only, which inner folds choose for each left-out subject."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Configuration:
    """The runs of one configuration, a run a seed."""

    settings: Mapping[str, Any]
    """Every setting that has an effect, and the digests of the weights that it names."""
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """`k=9 n=11 layer3 official`."""
        return unseeded(self.runs[0].name)

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.runs[0].method

    @property
    def title(self) -> str:
        """How papers and tables name the method: `LBP-TOP + SVM`."""
        return str(self.runs[0].values.get("title", self.method))

    @property
    def incomplete(self) -> str:
        """Why it is no score of the whole protocol, or empty text."""
        lacking = [(run.seed, run.incomplete) for run in self.runs if run.incomplete]
        if len(self.runs) == 1:
            return "".join(why for _, why in lacking)
        return "; ".join(f"seed {seed}: {why}" for seed, why in lacking)

    def mean(self, score: str) -> float:
        """Mean over the seeds of a score by its name in scores.json."""
        return sum(float(run.values[score]) for run in self.runs) / len(self.runs)

    @property
    def state(self) -> str:
        """The same, or that it is complete."""
        return f"incomplete: {self.incomplete}" if self.incomplete else "complete"

    def agrees(self, settings: Mapping[str, Any]) -> bool:
        """Whether it has these settings, as far as they have an effect."""
        return all(self.settings.get(name) == _plain(one) for name, one in settings.items() if name in self.settings)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One setting that the paper varies."""

    name: str
    """Stem of its files."""
    title: str
    setting: str
    """By its option's name (`k`)."""
    values: Sequence[Any]
    paper: Mapping[str, Mapping[str, float]]
    """Accuracy in per cent that the paper prints, by protocol and `k=9`."""
    drawn: bool = True
    """Whether it is a curve: a setting that is a number."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """More rows, by their label: the name of the search whose runs fill it."""
    note: str = ""
    """What a reader must know of its values."""

    def printed(self, protocol: str) -> dict[Any, float]:
        """What the paper prints for a protocol, by value."""
        found = self.paper.get(protocol, {})
        return {value: found[f"{self.setting}={value}"] for value in self.values if f"{self.setting}={value}" in found}


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """All runs of one protocol on the same clips and labels; without runs where only the paper has numbers."""

    title: str
    """The protocol, with the fingerprint's first digits where its runs have several."""
    protocol: str
    runs: tuple[Run, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    """AMAN's that the user fixed."""
    searches: tuple[Configuration, ...] = ()
    """AMAN's runs whose configuration a search chose: those of one selection and name."""
    others: tuple[Configuration, ...] = ()
    """Both of other methods."""
    base: Configuration | None = None
    """The one that Table 2 calls the fixed configuration."""

    def search(self, name: str) -> Configuration | None:
        """The runs of a search by its name: `k chosen by inner folds`."""
        return next((one for one in self.searches if one.runs[0].name.startswith(f"{name} ")), None)

    @property
    def used(self) -> set[Run]:
        """The runs that enter the tables."""
        return {run for one in (*self.configurations, *self.searches, *self.others) for run in one.runs}

    @property
    def honest(self) -> list[Configuration]:
        """What all methods have here, the highest accuracy first; runs that chose by the left-out clips are none."""
        every = (*self.configurations, *self.searches, *self.others)
        honest = [one for one in every if not one.runs[0].values["stamp"]]
        return sorted(honest, key=lambda one: -one.mean("accuracy"))

    def along(self, setting: str) -> tuple[dict[Any, Configuration], bool]:
        """Configurations by their value of a setting that differ in nothing else: those around the base where there
        are several, else the most that there are. And whether the base is among them."""
        groups: dict[str, dict[Any, Configuration]] = defaultdict(dict)
        for one in self.configurations:
            groups[_key({**one.settings, setting: None})][one.settings.get(setting)] = one

        def rank(group: dict[Any, Configuration]) -> tuple[bool, int, bool]:
            of_base = self.base in group.values()
            return len(group) > 1 and of_base, len(group), of_base

        best = max(groups.values(), key=rank, default={})
        return best, not best or self.base in best.values()


def columns_of(
    runs: Sequence[Run], protocols: Iterable[str] = (), base: Mapping[str, Any] | None = None
) -> list[Column]:
    """A column for each of `protocols` in this order, then for every other that the runs have; several where runs of
    one protocol have several fingerprints.

    The base is the configuration that agrees with `base`. Where none is asked for, it is the paper's k = 9, n = 11;
    else what jobs/loso.py ran; else the one from which most others differ in one setting. Of equals the base is the one
    that is complete and most like the paper's: no score has a say.
    """
    by_clips: dict[str, dict[str, list[Run]]] = {name: {} for name in protocols}
    for run in runs:
        by_clips.setdefault(run.protocol, {}).setdefault(run.fingerprint, []).append(run)
    columns = []
    for protocol, by_fingerprint in by_clips.items():
        for fingerprint, mine in by_fingerprint.items():
            title = protocol if len(by_fingerprint) == 1 else f"{protocol} [{fingerprint[:8]}]"
            columns.append(_column(title, protocol, mine, base))
        if not by_fingerprint:
            columns.append(Column(title=protocol, protocol=protocol))
    return columns


def unseeded(name: str) -> str:
    """The name of a run without its seed."""
    return re.sub(r"[ -]s\d+$", "", name)


def _column(title: str, protocol: str, runs: list[Run], wanted: Mapping[str, Any] | None) -> Column:
    fixed: dict[str, list[Run]] = defaultdict(list)
    searched: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.values["selection"] == "fixed" and not run.values["stamp"]:
            fixed[_key(_settings(run))].append(run)
        else:
            searched[_key([run.values["selection"], run.values["stamp"], run.method, unseeded(run.name)])].append(run)
    of_all, chosen = ([_configuration(same) for same in some.values()] for some in (fixed, searched))
    configurations = tuple(one for one in of_all if one.method == USUAL)
    return Column(
        title=title,
        protocol=protocol,
        runs=tuple(runs),
        configurations=configurations,
        searches=tuple(one for one in chosen if one.method == USUAL),
        others=tuple(one for one in (*of_all, *chosen) if one.method != USUAL),
        base=_base(configurations, wanted),
    )


def _configuration(runs: Iterable[Run]) -> Configuration:
    """A run a seed: of several of one seed the complete one, or that of most clips, or the first."""
    by_seed: dict[int, Run] = {}
    for run in runs:
        other = by_seed.setdefault(run.seed, run)
        by_seed[run.seed] = max(other, run, key=lambda one: (not one.incomplete, one.values["clips"]))
    chosen = tuple(by_seed[seed] for seed in sorted(by_seed))
    return Configuration(settings=_settings(chosen[0]), runs=chosen)


def _base(configurations: Sequence[Configuration], wanted: Mapping[str, Any] | None) -> Configuration | None:
    def neighbours(one: Configuration) -> int:
        return sum(_differences(one.settings, other.settings) == 1 for other in configurations)

    def rank(one: Configuration) -> tuple[bool, bool, int, bool, int]:
        by_loso = any(run.values["job"] == "loso" for run in one.runs)
        likeness = sum(one.settings.get(name) == value for name, value in PAPER_BEST.items())
        return one.agrees(PAPER_BEST), by_loso, neighbours(one), not one.incomplete, likeness

    return max((one for one in configurations if one.agrees(wanted or {})), key=rank, default=None)


def _settings(run: Run) -> dict[str, Any]:
    settings = {name: value for name, value in run.settings.items() if name not in WITHOUT_EFFECT}
    settings |= {"method": run.method} if run.method != USUAL else {}
    return settings | {f"digest of {name}": digest for name, digest in run.values["digests"].items()}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return list(value) if isinstance(value, tuple) else value
