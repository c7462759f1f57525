"""AMAN (Wei et al., ICASSP 2022): attention over magnification levels, then over frames.

The paper prints 75.40 % on CASME II, 68.85 % on SAMM and 79.87 % on SMIC-HS with k = 9 and n = 11 (Table 2). What
enters the cached features is in `Preparation`, what enters a fold is in `Model` and `Training`, so that each content
key is the digest of exactly what made its object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aman.errors import UsageError
from aman.inputs.base import Input, View
from aman.methods import Axis, Neural, settings_of
from aman.models.settings import (
    ALL_LEVELS,
    MAGNIFIER_NAMES,
    RECIPES,
    TRUNK_NAMES,
    Settings,
    check,
    factors_seen,
    sample,
)
from aman.tim import INTERPOLATED_FRAMES, sampled_frames
from aman.versions import version_of


class Aman(Neural, settings=Settings):
    """The method."""

    name = "aman"
    title = "AMAN"
    recipes = RECIPES

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.aligned import Aligned
        from aman.inputs.features import Features
        from aman.inputs.images import Images
        from aman.inputs.interpolated import Interpolated

        of = settings.preparation
        aligned = Aligned(align=of.align, landmark_model=of.landmark_model, size=of.size)
        images = Images(
            source=Interpolated(source=aligned),
            magnifier=of.magnifier,
            grid_frames=of.grid_frames,
            grid_factors=of.grid_factors,
        )
        if of.frozen == "none":
            return (images,)
        features = Features(
            source=images,
            trunk=of.trunk,
            frozen=of.frozen,
            precision=settings.training.precision,
            bn=of.trunk_bn,
            size=of.trunk_size,
        )
        return (features,)

    def view(self, settings: Settings) -> View:
        return sample(settings.preparation, settings.model)

    def check(self, settings: Settings) -> None:
        check(settings)

    def refusal(self, settings: Settings) -> UsageError | None:
        of = settings.preparation
        if settings.model.layer4_init == "pretrained" and of.frozen != "layer4":
            from aman.digests import has_layer4

            if not has_layer4(of.trunk):
                return UsageError(
                    got=f"--layer4-init pretrained with {of.trunk}, which holds no layer4",
                    expected="weights of layer4",
                    fix="--layer4-init random, or another --trunk",
                )
        return None

    def absolute(self, settings: Settings) -> Settings:
        of = settings.preparation
        trunk = of.trunk if of.trunk in TRUNK_NAMES else str(Path(of.trunk).absolute())
        magnifier = of.magnifier if of.magnifier in MAGNIFIER_NAMES else str(Path(of.magnifier).absolute())
        model = str(Path(of.landmark_model).absolute()) if of.landmark_model else ""
        return replace(settings, preparation=replace(of, trunk=trunk, magnifier=magnifier, landmark_model=model))

    def starts_from(self, settings: Settings) -> tuple[str, ...]:
        return (settings.preparation.trunk,)

    def weights(self, settings: Settings) -> dict[str, str]:
        """The trunk is trained on, so that its weights count where none of its stages is frozen, too."""
        from aman.digests import trunk_digest

        return {"trunk": trunk_digest(settings.preparation.trunk)}

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        """As the first releases had them, before there was another method. A setting that is younger enters where it
        is not what they did, and a fixed level has no ceiling. Results in bf16 whose running statistics were bf16, too,
        have other keys."""
        model, training = asdict(settings.model), asdict(settings.training)
        if model["levels"] == ALL_LEVELS:
            del model["levels"]
        else:
            del model["k"], model["amp_convention"]
        if not model["standardise"]:
            del model["standardise"]
        for younger, usual in (("precision", "fp32"), ("kernels", "deterministic")):
            if training[younger] == usual:
                del training[younger]
        if "precision" in training:
            training["statistics"] = "fp32"
        return {
            "model": model,
            "training": training,
            "frozen": settings.preparation.frozen,
            "trunk": weights["trunk"],
            "version": version_of(type(self)),
        }

    def effective(self, settings: Settings, base: Settings) -> Settings:
        changes: dict[str, Any] = {}
        if settings.preparation.frozen == "layer4":
            changes |= {"layer4_init": base.model.layer4_init, "bn": base.model.bn}
        preparation = settings.preparation
        if preparation.frozen == "none":
            preparation = replace(preparation, trunk_bn=base.preparation.trunk_bn)
        if settings.model.levels != ALL_LEVELS:
            changes |= {"k": base.model.k, "amp_convention": base.model.amp_convention}
        return replace(settings, preparation=preparation, model=replace(settings.model, **changes))

    def shared(self, base: Settings, settings: Sequence[Settings]) -> dict[str, Any]:
        """`grid_frames` and `grid_factors` that serve all of them: those of `base` where they are enough."""
        wanted = {frame for one in settings for frame in sampled_frames(one.model.n, one.model.sampling)}
        frames, factors = base.preparation.grid_frames, max(factors_seen(one.model)[-1] for one in settings)
        if not wanted <= set(sampled_frames(frames)):
            sizes = range(frames + 1, INTERPOLATED_FRAMES + 1)
            frames = next((size for size in sizes if wanted <= set(sampled_frames(size))), INTERPOLATED_FRAMES)
        return {"grid_frames": frames, "grid_factors": max(base.preparation.grid_factors, factors)}

    def cost(self, settings: Settings, clips: int) -> float:
        """Images that are trained on, times epochs."""
        return float(settings.training.epochs * clips * settings.model.n * len(factors_seen(settings.model)))

    def shapes(self, settings: Settings) -> tuple[tuple[int, ...], ...]:
        return ((settings.model.n, len(factors_seen(settings.model)), *self.inputs(settings)[0].shape()),)

    def label(self, settings: Settings) -> list[str]:
        model = settings.model
        levels = f"k={model.k}" if model.levels == ALL_LEVELS else f"level={model.levels}"
        parts = [levels, f"n={model.n}", settings.preparation.frozen]
        return parts + ([settings.model.attention] if settings.model.attention != "both" else [])

    def in_title(self) -> tuple[str, ...]:
        return "k", "levels", "n", "frozen", "attention", "frames_seen", "grid_frames", "grid_factors"

    def folder(self, settings: Settings) -> list[str]:
        model, of = settings.model, settings.preparation
        levels = f"k{model.k}" if model.levels == ALL_LEVELS else f"level{model.levels}"
        parts = [levels, f"n{model.n}", *([model.attention] if model.attention != "both" else [])]
        return [*parts, of.frozen, Path(of.magnifier).stem, Path(of.trunk).stem]

    def describe(self, settings: Settings) -> dict[str, Any]:
        return {**settings_of(settings), "frames_seen": sampled_frames(settings.model.n, settings.model.sampling)}

    def axes(self, settings: Settings) -> dict[str, Axis]:
        """Of the attention that is there: one that a mean replaces, or that has one place only, says nothing."""
        view, attention = self.view(settings), settings.model.attention
        alpha = Axis(label="factor", plural="levels", at=view.factors, truth="strength")
        beta = Axis(label="interpolated frame", plural="frames", at=view.frames, truth="amplitude")
        there = {"alpha": attention != "fa" and len(alpha.at) > 1, "beta": attention != "ma" and len(beta.at) > 1}
        return {name: axis for name, axis in {"alpha": alpha, "beta": beta}.items() if there[name]}

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        import torch

        from aman.backbone import Head, fresh_layer4, load_trunk
        from aman.models.aman import AMAN, random_after_layer4, scratch

        fresh, as_authors = settings.model.layer4_init != "pretrained", settings.model.layer4_init == "authors"
        if settings.preparation.frozen == "layer4":  # the head has nothing of the network
            network = scratch()
            if fresh:
                torch.set_rng_state(random_after_layer4(seed, as_authors))
        else:
            network = load_trunk(settings.preparation.trunk)
            if fresh:
                fresh_layer4(network, as_authors=as_authors)
        head = Head(network, settings.preparation.frozen)
        return AMAN(head, settings.model, classes, settings.training.precision)

    def deterministic(self, settings: Settings) -> bool:
        return settings.training.kernels == "deterministic"

    def begin(self, model: Any, settings: Settings, x_train: Sequence[Any]) -> None:
        model.begin(x_train[0])

    def ahead(self, model: Any, settings: Settings, x: Sequence[Any]) -> Sequence[Any]:
        return [model.ahead(x[0])]

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        return output.logits_BY, {"alpha": output.alpha_BNK, "beta": output.beta_BN}

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.models.by_hand import can_differentiate
        from aman.training.joined import Joined
        from aman.training.neural import adamw_cosine, rmsprop_steps

        training = settings.training

        def make(of: Any) -> tuple[Any, Any]:
            if training.optimiser == "rmsprop":
                return rmsprop_steps(of, training.rate, training.weight_decay, max(1, steps // training.epochs))
            return adamw_cosine(of, training.rate, training.weight_decay, steps)

        if not can_differentiate(model):
            return make(model)
        joined = Joined(model, make)
        return joined, joined.schedule

    def backward(self, model: Any, settings: Settings, x: Sequence[Any], labels_B: Any, counts_Y: Any) -> Any:
        from aman.models.by_hand import can_differentiate, differentiate

        if not can_differentiate(model):
            return super().backward(model, settings, x, labels_B, counts_Y)
        return differentiate(model, x[0], labels_B)


METHOD = Aman()
