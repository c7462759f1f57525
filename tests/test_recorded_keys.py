"""A store that the first releases filled is warm: AMAN's content keys and the results of folds are theirs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small import clip_of

from aman.inputs.base import weights_of
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES, Settings
from aman.training import FoldResult, FoldTask
from cluster.features.keys import ClipPlan, Digests, plan_clip
from cluster.folds.keys import fold_key
from cluster.folds.results import pack_result, read_result
from cluster.store.folder import FolderStore
from cluster.store.names import FOLDS
from cluster.store.results import Cache

CLIPS = tuple(f"casme2/sub{number:02d}/EP01_01" for number in (1, 2, 3, 4))
OUTER = FoldTask(
    subject="casme2/01",
    train_clips=CLIPS[1:3],
    train_labels=(4, 0),
    test_clips=CLIPS[:1],
    classes=5,
    seed=3,
    train_subjects=("casme2/02", "casme2/03"),
)
INNER = FoldTask(
    subject="casme2/02+casme2/04",
    train_clips=CLIPS[2:3],
    train_labels=(0,),
    test_clips=(CLIPS[1], CLIPS[3]),
    classes=5,
    seed=0,
    train_subjects=("casme2/03",),
)
"""A fold that chooses a configuration for subject 01."""
WEIGHTS = {"landmark_model": "1" * 64, "trunk": "7" * 64, "magnifier": f"{'a' * 64}-reflect"}
"""Made-up digests: the recorded keys depend on no file that is installed."""

ALL_OF_THE_MODEL: dict[str, object] = {
    "k": 10,
    "n": 3,
    "sampling": "stride",
    "amp_convention": "paper",
    "attention": "ma",
    "attention_bias": True,
    "layer4_init": "pretrained",
    "bn": "flat",
    "frozen": "layer2",
    "trunk": "imagenet",
    "magnifier": "linear",
}
FIRST_QUICK: dict[str, object] = {"grid_frames": 3, "grid_factors": 6, "k": 6, "n": 3, "epochs": 120, "batch": 8}
"""What `quick` prepared, saw and trained in the first releases."""
FIRST = variant(Settings(), standardise=False)
"""The settings of the first releases, in which features were not standardised."""
CASES = {
    "default": FIRST,
    "official": variant(RECIPES["official"], layer4_init="random"),
    "quick": variant(RECIPES["quick"], standardise=False, rate=1e-2, **FIRST_QUICK),
    "small": variant(RECIPES["small"], standardise=False, rate=1e-2),
    "frozen none": variant(FIRST, frozen="none"),
    "frozen none, linear": variant(FIRST, frozen="none", magnifier="linear", align="none"),
    "frozen layer4, phase": variant(FIRST, frozen="layer4", magnifier="phase"),
    "no magnifier": variant(FIRST, magnifier="none"),
    "no landmarks": variant(FIRST, align="none"),
    "all of the model": variant(FIRST, **ALL_OF_THE_MODEL),
}
RECORDED = {
    "default": (
        "f12dd3d50c1c5134e60f958b55ba40001ef179615056c2e1672d9235f9650249",
        "58a200ff21ad3e70ebde44040ff8650ff66478ec85712df53f6de35b4c093b11",
        "006699d39e4e7d8c3badadbfaf6abe4432d892ea63f1d72ebc35a76850e0c82f",
        "99e4811018794ee919bf3123f95f5360579501423d29f27f98215bf7bf596a0f",
    ),
    "official": (
        "f12dd3d50c1c5134e60f958b55ba40001ef179615056c2e1672d9235f9650249",
        "58a200ff21ad3e70ebde44040ff8650ff66478ec85712df53f6de35b4c093b11",
        "46739974b0e3f6178131a6d0db7d5ad4bbe6b60f004653219f0446169167962c",
        "7ab89b54e8ac4507e9f0a7f8922d2875c2e9ce01218bf477aa7bc5c9f6b7559a",
    ),
    "quick": (
        "9e8ba170b9f1bed2c41b67a7ee783311089c5d5a5f09a9eaea769e84d1a7cba0",
        "2e7f30a89d5693b888b5f5e3a353a64bc894c2935a0d6b98bc11aaba78e47931",
        "32de9aee62029c445708d8facc404f17139f868b715dff8973d0f37601f2f658",
        "d46c454ed6a915790bf8d4475f19481bc6e08f3076c6d053197191cfd1d152cc",
    ),
    "small": (
        "3d7c304908f88600d27e3f5ae7a15b0dbc7e3aa7db999338e5ace81db53e6a38",
        "06403d97cfbc3edf6eca585d430811940b6f1c1c41c4dbb28f9ac00505e74a31",
        "e7f59f79ef8a2815fa76c1f41c65a045619492a3f4e1abd60cfdef4fb7b55cec",
        "52adcdc9f25a4b4685645019d6bd7178cab6a950f5249c69f36dbd52f528d30d",
    ),
    "frozen none": (
        "f12dd3d50c1c5134e60f958b55ba40001ef179615056c2e1672d9235f9650249",
        "",
        "5d11ced424f64dacb239cb0ff6c0931ecefa40e4888e5f599e510305a38dcc64",
        "e765c4049b2139b5ed781d30adc1763c0e8071ca619ba9fd59f62b1dd17133cb",
    ),
    "frozen none, linear": (
        "b56ba092f7834310b1fda0d7832315eded81acdae600a24209e7f2a666a56dcf",
        "",
        "bcc175664ebd1dc43de9ef353047f23d451dd117c04d9f6328e92fd8898c524e",
        "ed8b69824ea305d7c68d79458128dc6d1ac750f6b68c3fce869248d5c43afc69",
    ),
    "frozen layer4, phase": (
        "4c985be76e2e4dc36a60eb4e495699cc09ff1679761b18d552aaa71eaf372742",
        "4d7b94c0b1e2408de554eb327ea070333206a5f38e5ae51d1bae8dc592c8f380",
        "7675ff91895f21f47ccfd059ec782d6856aee793cda9a4a0d8c39db8407dfa0c",
        "d01b1711c003f26c98430ac625199d62bd0adf1a5a693487f9ec4671ddb8d3b2",
    ),
    "no magnifier": (
        "fd474f047de12b2d5615c5722b42237a5985a5446ee3e37a5b18527f173a363a",
        "89532c0d7ba1bc62f89991d9d00702fa62efeff69bfcdeb0cb03af46d5bc5d8b",
        "265db78c87458148aa51f7fbd5424e25a09581f1235856293e871da85edb3dd3",
        "cdf65188c26cc873f441ed395b27e1f7c1a23292d0c5cb3588d7ac315c69e941",
    ),
    "no landmarks": (
        "8a1653a65f0724875451a188d44e93937db73570d3b7186028c6042d2a2083c2",
        "eed53e2b581f58abf5886d9cc2a5e48c8cd5bb876a98e0d927f62aa9fc4bc963",
        "da30559f41c1a84c62bf4cff6e71ab2473dad5853c05c6a2396b79068619c1ed",
        "8d2edb7b9ab5d34a23a25ab4cc438d2e54bc55e8b9bfc757aad149b85a47c279",
    ),
    "all of the model": (
        "3d7c304908f88600d27e3f5ae7a15b0dbc7e3aa7db999338e5ace81db53e6a38",
        "11724c157172846c5ca5c5320fec431e998b5f1870cf6cf5c787634607823fa1",
        "0f414d2d717943cfd113ff699c662260d58e44973324d490ff0b75b7ce604dbf",
        "f68440d33a1bb5545491756ff1aca8f94837f4381f018b7ab276a4daba9b6a31",
    ),
}
"""Keys of the first clip's images and of its features, of the outer fold and of the inner one, as commit 033ddc2
computed them, the last one before there was another method than AMAN."""
SHIPPED = {
    "magnifier": "b7a369d0b766c8d031975fded0444e67350c16649d811713bcf01efc6cede862-reflect",
    "trunk": "629bff0b7f9d7d0b01273c3a05083123833ea7874f30d7b90dd260d9569a656b",
}
"""Digests of the weights that the first releases held, as that commit computed them: what `fer2013` was and
`fer2013-96` is, and what `learned` was and `learned-1` is."""

OLD_FIELDS = ("subject", "train_clips", "train_labels", "test_clips", "classes", "seed")
"""What a fold consisted of in the first releases."""


def digests_of(number: int) -> Digests:
    """Made-up digests of the files of a clip."""
    return lambda paths: [f"{number:02x}{position:02x}" * 16 for position, _ in enumerate(paths)]


def plan_of(number: int, settings: Settings) -> ClipPlan:
    """Keys of clip 1, 2, ...: three frames that are nowhere."""
    paths = [Path(f"img{frame}.jpg") for frame in range(3)]
    learned, aligned = settings.preparation.magnifier == "learned", settings.preparation.align == "landmarks"
    weights = {
        **WEIGHTS,
        "magnifier": WEIGHTS["magnifier"] if learned else "",
        "landmark_model": WEIGHTS["landmark_model"] if aligned else "",
    }
    clip = clip_of(paths, subject=f"casme2/{number:02d}")
    return plan_clip(clip, METHOD.inputs(settings), weights, digests_of(number))


@pytest.mark.parametrize("name", CASES)
def test_every_key_is_that_of_the_first_releases(name: str) -> None:
    settings, (images, features, outer, inner) = CASES[name], RECORDED[name]
    plans = {clip: plan_of(number, settings) for number, clip in enumerate(CLIPS, start=1)}
    kept = {stage.name: key for stage, key in plans[CLIPS[0]].keys.items() if stage.kept}
    assert kept == {"images": images, **({"features": features} if features else {})}
    assert fold_key(OUTER, plans, settings, WEIGHTS) == outer
    assert fold_key(INNER, plans, settings, WEIGHTS) == inner


def test_recorded_keys_differ_where_something_that_counts_does() -> None:
    assert CASES.keys() == RECORDED.keys()
    folds = [key for _, _, *keys in RECORDED.values() for key in keys]
    assert len(set(folds)) == len(folds) == 20
    assert RECORDED["default"][:2] == RECORDED["official"][:2]  # the training does not enter what is cached of a clip
    assert len({images for images, *_ in RECORDED.values()}) == 7


def test_a_younger_setting_makes_another_fold_and_a_fixed_level_has_no_ceiling() -> None:
    plans = {clip: plan_of(number, FIRST) for number, clip in enumerate(CLIPS, start=1)}

    def key(**changes: object) -> str:
        return fold_key(OUTER, plans, variant(FIRST, **changes), WEIGHTS)

    assert key() == RECORDED["default"][2]
    assert len({key(), key(standardise=True), key(levels="9"), key(levels="8"), key(layer4_init="authors")}) == 5
    assert key(levels="5", k=9) == key(levels="5", k=7) == key(levels="5", amp_convention="paper")


def test_the_weights_that_came_with_the_first_releases_have_the_digests_that_they_had() -> None:
    settings = variant(Settings(), align="none", magnifier="learned-1", trunk="fer2013-96")
    digests = {**weights_of(METHOD.inputs(settings)), **METHOD.weights(settings)}
    assert digests == {**SHIPPED, "landmark_model": ""}
    assert METHOD.weights(variant(settings, frozen="none")) == {"trunk": SHIPPED["trunk"]}


def test_the_subjects_of_the_training_clips_are_in_no_key() -> None:
    settings = CASES["quick"]
    plans = {clip: plan_of(number, settings) for number, clip in enumerate(CLIPS, start=1)}
    for task, recorded in ((OUTER, RECORDED["quick"][2]), (INNER, RECORDED["quick"][3])):
        without = FoldTask(**{name: getattr(task, name) for name in OLD_FIELDS})
        assert fold_key(without, plans, settings, WEIGHTS) == recorded


FIRST_RESULT: dict[str, Any] = {
    "subject": "casme2/01",
    "clips": ["casme2/sub01/EP01_01", "casme2/sub01/EP02_01"],
    "probabilities": [[0.25, 0.75], [0.9, 0.1]],
    "alpha": [[[0.5, 0.25]], [[0.125, 1.0]]],
    "beta": [[0.5], [0.75]],
    "epoch_classes": [[0, 0], [1, 0]],
    "losses": [0.7, 0.1],
    "weights_sha256": "ab" * 32,
    "seconds": 1.5,
    "device": "cpu",
}
"""A fold as the first releases stored it."""
FIRST_FOLD = FoldTask(
    subject="casme2/01",
    train_clips=("casme2/sub02/EP01_01",),
    train_labels=(0,),
    test_clips=tuple(FIRST_RESULT["clips"]),
    classes=2,
    seed=0,
)


@pytest.mark.parametrize("left_out", [(), ("device",)])
def test_a_result_of_the_first_releases_is_read_with_its_attention_as_extras(
    tmp_path: Path, left_out: Sequence[str]
) -> None:
    cache, stored = Cache(FolderStore(tmp_path)), {k: v for k, v in FIRST_RESULT.items() if k not in left_out}
    cache.publish(FOLDS, "a" * 64, json.dumps(stored).encode())
    result = read_result(cache, "a" * 64, FIRST_FOLD)
    assert result == FoldResult(
        subject="casme2/01",
        clips=("casme2/sub01/EP01_01", "casme2/sub01/EP02_01"),
        probabilities=[[0.25, 0.75], [0.9, 0.1]],
        epoch_classes=[[0, 0], [1, 0]],
        losses=[0.7, 0.1],
        weights_sha256="ab" * 32,
        seconds=1.5,
        device="" if left_out else "cpu",
        extras={"alpha": [[[0.5, 0.25]], [[0.125, 1.0]]], "beta": [[0.5], [0.75]]},
    )


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cache = Cache(FolderStore(tmp_path))
    values = {name: value for name, value in FIRST_RESULT.items() if name not in ("alpha", "beta")}
    values |= {"clips": tuple(values["clips"]), "extras": {"margin": [[0.1], [1 / 3]]}}
    result = FoldResult(**values)
    cache.publish(FOLDS, "b" * 64, pack_result(result, "b" * 64))
    assert read_result(cache, "b" * 64, FIRST_FOLD) == result
