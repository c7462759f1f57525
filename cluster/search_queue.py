"""The queue of a search: which fold comes next, which configuration is stopped, and which is chosen."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aman.racing import Race, Standing
from cluster.fold_queue import FoldQueue

NOBODY = ""
"""The subject for which one configuration is chosen by all left-out subjects: tuned on the test."""


@dataclass(frozen=True, kw_only=True)
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


class SearchQueue(FoldQueue):
    """The queue of a search: which fold comes next, which configuration is stopped, and which is chosen.

    Every lane is a race, `aman.racing`. With `racing` the races say what is trained; else every configuration that has
    begun is trained to its end, unless it is withdrawn. When a lane is decided, the fold of its left-out subject with
    the chosen configuration follows. No worker knows a label: the driver tells how many clips are right.
    """

    def __init__(
        self, entries: Sequence[Entry], outer_keys: Mapping[tuple[str, str], str], done: set[str], racing: bool
    ) -> None:
        super().__init__([])
        self.closed, self.racing, self.outer_keys, self.done = False, racing, dict(outer_keys), set(done)
        self.untold: set[str] = set()
        self.entered: set[str] = set()
        self.places: dict[str, list[Entry]] = {}
        self.keys: dict[tuple[str, str, str], str] = {}
        self.mine: dict[str, list[Entry]] = {}
        clips: dict[str, dict[str, int]] = {}
        for one in entries:
            self.places.setdefault(one.key, []).append(one)
            self.keys[one.lane, one.configuration, one.subject] = one.key
            self.mine.setdefault(one.configuration, []).append(one)
            clips.setdefault(one.lane, {})[one.subject] = one.clips
        self.races = {lane: Race(sizes, list(self.mine)) for lane, sizes in clips.items()}
        self.right: dict[str, int] = {}
        for one in entries:
            if one.right is not None:
                self.right[one.key] = one.right
                self.races[one.lane].finish(one.configuration, one.subject, one.right)
        self.followed: set[str] = set()
        self.follow()

    def enter(self, configuration: str) -> None:
        """A trial has begun: its folds may be trained."""
        if configuration in self.entered:
            return
        self.entered.add(configuration)
        if not self.racing:
            known = {*self.waiting, *self.leases, *self.untold, *self.right}
            self.waiting.extend(dict.fromkeys(one.key for one in self.mine[configuration] if one.key not in known))

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
        self.follow()

    def follow(self) -> None:
        """Have the chosen configurations' folds trained for every lane that is decided."""
        for lane, chosen in self.chosen().items():
            key = self.outer_keys.get((chosen, lane))
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
        if key in self.failed:
            for one in self.places.get(key, ()):
                self.withdraw(one.configuration)

    def withdraw(self, configuration: str) -> None:
        """No fold of the configuration is begun any more, and it cannot be chosen."""
        for lane in {one.lane for one in self.mine[configuration]}:
            if any(one.lane == lane and one.key not in self.right for one in self.mine[configuration]):
                self.races[lane].withdraw(configuration)
        gone = {one.key for one in self.mine[configuration]}
        self.waiting = deque(key for key in self.waiting if key not in gone)
        self.follow()

    def standing(self, configuration: str) -> Standing:
        """Where a configuration stands over all lanes."""
        mine = self.mine[configuration]
        done = [one for one in mine if one.key in self.right]
        right, clips = sum(self.right[one.key] for one in done), sum(one.clips for one in mine)
        lanes = {one.lane for one in mine if one.key not in self.right}
        racing = any(self.races[lane].matters(configuration) and not self.races[lane].decided for lane in lanes)
        return Standing(
            configuration=configuration,
            state="complete" if not lanes else "racing" if racing or not self.racing else "stopped",
            folds=len(done),
            all_folds=len(mine),
            least=right,
            most=clips - sum(one.clips for one in done) + right,
            all_clips=clips,
        )

    def look(self, configuration: str) -> tuple[Standing, bool]:
        """The same, and whether there is nothing more to wait for."""
        found = self.standing(configuration)
        withdrawn = not any(self.races[one.lane].matters(configuration) for one in self.mine[configuration])
        return found, found.state in ("complete", "stopped") or withdrawn or self.stopped or bool(self.lost_clips)
