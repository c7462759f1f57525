"""The queue of a search: which fold comes next, which configuration is stopped, and which is chosen."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from aman.racing import Race, Standing
from cluster.folds.queue import FoldQueue

NOBODY = ""
"""The subject for which one configuration is chosen by all left-out subjects: tuned on the test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A fold that a configuration is chosen by."""

    key: str
    configuration: str
    lane: str
    """The left-out subject for which is chosen, or `NOBODY`."""
    subject: str
    """What the fold leaves out; in a lane each once for every configuration."""
    clips: int
    right: int | None
    """Clips that are right, where it is finished."""
    cost: float = 0
    """How long it takes, to compare it with others."""


class SearchQueue(FoldQueue):
    """The queue of a search: which fold comes next, which configuration is stopped, and which is chosen.

    Every lane is a race, `aman.racing`. With `racing` the races say what is trained; else every configuration that has
    entered a lane is trained to its end there, longest folds first, unless it is withdrawn. When a lane is decided, the
    fold of its left-out subject with the chosen configuration follows. What happens in a lane depends on no other one:
    the left-out subject of a lane is among those that the others choose by. No worker knows a label: the driver tells
    how many clips are right.
    """

    def __init__(
        self, entries: Sequence[Entry], outer_keys: Mapping[tuple[str, str], str], done: set[str], racing: bool
    ) -> None:
        super().__init__([])
        self.closed, self.racing, self.outer_keys, self.done = False, racing, dict(outer_keys), set(done)
        self.untold: set[str] = set()
        self.entered: set[tuple[str, str]] = set()
        """Lane and configuration."""
        self.ended: dict[tuple[str, str], Literal["stopped", "withdrawn"]] = {}
        """Configurations that were stopped early, by lane."""
        self.begun: set[str] = set()
        self.places: dict[str, list[Entry]] = {}
        self.keys: dict[tuple[str, str, str], str] = {}
        self.cost: dict[str, float] = {}
        self.mine: dict[str, dict[str, list[Entry]]] = {}
        """By configuration and lane."""
        clips: dict[str, dict[str, int]] = {}
        for one in entries:
            self.places.setdefault(one.key, []).append(one)
            self.keys[one.lane, one.configuration, one.subject] = one.key
            self.cost[one.key] = one.cost
            self.mine.setdefault(one.configuration, {}).setdefault(one.lane, []).append(one)
            clips.setdefault(one.lane, {})[one.subject] = one.clips
        self.races = {lane: Race(sizes, list(self.mine)) for lane, sizes in clips.items()}
        self.right: dict[str, int] = {}
        for one in entries:
            if one.right is not None:
                self.right[one.key] = one.right
                self.races[one.lane].finish(one.configuration, one.subject, one.right)
        self.followed: set[str] = set()
        self.follow(self.races)

    def enter(self, configuration: str, lane: str | None = None) -> None:
        """A trial has begun: its folds may be trained, in one lane or in all."""
        for each in self.lanes_of(configuration, lane):
            if (each, configuration) in self.entered:
                continue
            self.entered.add((each, configuration))
            keys = [one.key for one in self.mine[configuration][each]]
            new = [key for key in dict.fromkeys(keys) if key not in self.begun and key not in self.right]
            if new and not self.racing:
                self.begun.update(new)
                every = sorted([*self.waiting, *new], key=lambda key: -self.cost.get(key, inf))
                self.waiting = deque(every)

    def lanes_of(self, configuration: str, lane: str | None = None) -> list[str]:
        """All lanes that the configuration may run in, or the one."""
        return list(self.mine[configuration]) if lane is None else [lane]

    def lease(self, worker: str) -> str | None:
        if self.racing and not (self.stopped or self.lost_clips or self.waiting):
            for lane, race in self.races.items():
                while not race.decided and (pair := race.next()) is not None:
                    key = self.keys[lane, *pair]
                    if key not in self.leases and key not in self.untold:
                        self.leases[key] = worker
                        return key
        leased = super().lease(worker)
        return "" if leased is None and self.untold and not (self.stopped or self.lost_clips) else leased

    def finish(self, key: str) -> None:
        super().finish(key)
        self.untold.add(key)

    def told(self, key: str, right: int) -> None:
        self.untold.discard(key)
        self.done.add(key)
        self.right[key] = right
        for one in self.places.get(key, ()):
            self.races[one.lane].finish(one.configuration, one.subject, right)
        self.follow({one.lane for one in self.places.get(key, ())})

    def follow(self, lanes: Iterable[str]) -> None:
        """Have the chosen configurations' folds trained for every one of these lanes that is decided."""
        for lane in lanes:
            chosen = self.races[lane].winner
            key = None if chosen is None else self.outer_keys.get((chosen, lane))
            if key is not None and lane not in self.followed:
                self.followed.add(lane)
                if key not in self.done:
                    self.waiting.append(key)

    def chosen(self) -> dict[str, str]:
        """The configuration of every lane that is decided."""
        return {lane: race.winner for lane, race in self.races.items() if race.winner is not None}

    def give_up(self, key: str, why: str) -> None:
        self.untold.discard(key)
        super().give_up(key, why)

    def fail(self, key: str, why: str) -> None:
        super().fail(key, why)
        for one in self.places.get(key, ()):
            self.withdraw(one.configuration, one.lane)

    def withdraw(
        self, configuration: str, lane: str | None = None, why: Literal["stopped", "withdrawn"] = "withdrawn"
    ) -> None:
        """Begin no fold of the configuration any more: it cannot be chosen in this lane, or in any where it is not
        whole."""
        gone, lanes = set[str](), []
        for each in self.lanes_of(configuration, lane):
            entries = self.mine.get(configuration, {}).get(each, [])  # none of what cannot be run
            if any(one.key not in self.right for one in entries):
                self.races[each].withdraw(configuration)
                self.ended.setdefault((each, configuration), why)
                gone.update(one.key for one in entries)
                lanes.append(each)
        if gone:
            self.waiting = deque(key for key in self.waiting if key not in gone)
        self.follow(lanes)

    def end_proposals(self) -> None:
        """No configuration enters any more: each lane chooses among those that have entered it."""
        for configuration, lanes in self.mine.items():
            for lane in lanes:
                if (lane, configuration) not in self.entered:
                    self.races[lane].withdraw(configuration)
                    self.ended[lane, configuration] = "withdrawn"
        self.follow(self.races)

    def stop_unfinished(self) -> None:
        """Nothing more is trained: what is not whole was stopped."""
        for configuration in self.mine:
            self.withdraw(configuration, None, "stopped")

    def standing(self, configuration: str, lane: str | None = None) -> Standing:
        """Where a configuration stands over the lanes that it may be chosen in, or in one."""
        lanes = self.lanes_of(configuration, lane)
        if lane is None and any((each, configuration) in self.entered for each in lanes):
            lanes = [each for each in lanes if (each, configuration) in self.entered]
        mine = [one for each in lanes for one in self.mine[configuration][each]]
        done = [one for one in mine if one.key in self.right]
        right, clips = sum(self.right[one.key] for one in done), sum(one.clips for one in mine)
        state: Literal["complete", "racing", "stopped", "withdrawn"] = "complete"
        ended = set[str]()
        for each in {one.lane for one in mine if one.key not in self.right}:
            race = self.races[each]
            over = self.racing and (race.decided or not race.matters(configuration))
            ended.add(self.ended.get((each, configuration)) or ("stopped" if over else "racing"))
        if ended:
            state = "racing" if "racing" in ended else "withdrawn" if "withdrawn" in ended else "stopped"
        return Standing(
            configuration=configuration,
            state=state,
            folds=len(done),
            all_folds=len(mine),
            least=right,
            most=clips - sum(one.clips for one in done) + right,
            all_clips=clips,
        )

    def look(self, configuration: str, lane: str | None = None) -> tuple[Standing, bool]:
        """The configuration's standing, and whether its trial can stop."""
        found = self.standing(configuration, lane)
        return found, found.state != "racing" or self.stopped or bool(self.lost_clips)
