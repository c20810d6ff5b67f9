"""Maps against references: everything that is asked gets a row of table `scores`, a value or a reason."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
import pandas as pd

from sightline import metrics
from sightline.errors import ConfigError
from sightline.metrics import similarity
from sightline.metrics.similarity import Ranked, References
from sightline.outcomes import Absent, Answer, MapsOf, score_rows


@dataclass(frozen=True)
class GazeReference:
    """Gaze in the scoring frame, by image: `readings` gives (reader, map), `center_bias` {leave_out: map}.

    With two or more readers the reference of reader i is the mean of the others' maps, with one that
    reader's.
    """

    name: str
    readings: Callable[[str], list[tuple[str, Answer]]]
    center_bias: Callable[[str], dict[str, Answer]] = lambda image: {}
    leave_outs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionReference:
    """A mask in the scoring frame, by image; with `leave_outs` also its center bias, as of `GazeReference`.

    A center bias makes it a `centred_region`: metrics that compare with the average of all regions apply.
    """

    name: str
    mask: Callable[[str], Answer]
    center_bias: Callable[[str], dict[str, Answer]] = lambda image: {}
    leave_outs: tuple[str, ...] = ()


Reference = GazeReference | RegionReference


def families() -> dict[str, ModuleType]:
    """The module of each metric by its name: the modules of `sightline.metrics` that state `METRICS`."""
    found = {}
    for module in pkgutil.iter_modules(metrics.__path__):
        family = importlib.import_module(f"sightline.metrics.{module.name}")
        found |= dict.fromkeys(getattr(family, "METRICS", {}), family)
    return found


def others(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The reference of each reader: the mean of the other readers' maps, or the only map itself."""
    if len(maps) == 1:
        return list(maps)
    return [
        np.mean([m for j, m in enumerate(maps) if j != i], axis=0, dtype=np.float64) for i in range(len(maps))
    ]


def score_image(
    saliency: np.ndarray,
    maps: Sequence[np.ndarray],
    center_biases: dict[str, np.ndarray],
    names: Sequence[str],
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, leave_out): scores (R,)} of one map against the gaze `maps` (R, h, w) of R readers.

    Score i is against the mean of the other maps (R = 1: against the one map). leave_out is "" for metrics
    without center bias. NaN where undefined; see `similarity` for the errors.
    """
    biases = {leave_out: similarity.prepare([bias]) for leave_out, bias in center_biases.items()}
    return similarity.evaluate(names, Ranked(saliency), similarity.prepare(others(maps)), biases)


def score(
    maps_of: MapsOf,
    images: pd.DataFrame,
    readings: Sequence[str],
    saliency: Callable[[str, str], Answer],
    references: Sequence[Reference],
    names: Sequence[str],
) -> pd.DataFrame:
    """Table `scores` of one (dataset, model, seed, condition, method): all `images` (columns image, subject).

    `saliency(image, reading)` is the map in the scoring frame, or why there is none. Each metric is scored
    against the references that it applies to (its `METRICS`), each reader, each leave-out; one that needs no
    reference once per map, with reference "". A row holds a value with status `ok`, or none with the status
    it inherits, `missing` (no reference) or `undefined`, and the reason.
    """
    return table(maps_of, list(rows_of(images, readings, saliency, references, names)))


def rows_of(
    images: pd.DataFrame,
    readings: Sequence[str],
    saliency: Callable[[str, str], Answer],
    references: Sequence[Reference],
    names: Sequence[str],
    progress: Callable[..., Iterable] = lambda items, *told: items,
) -> Iterator[tuple]:
    """The rows of `score` as `table` takes them, image by image.

    `progress(items, total, what)` yields the items of the long loop and tells how far it is.
    """
    asked = Asked(names)
    for image in progress(images.itertuples(), len(images), "images"):
        targets = [*(target(reference, image.image) for reference in references), ALONE]
        for reading in readings:
            ranked = rank(saliency(image.image, reading))
            for each in targets:
                key = (reading, image.image, image.subject, each.name)
                yield from (key + row for row in score_target(each, ranked, asked))


def table(maps_of: MapsOf, rows: Sequence[tuple]) -> pd.DataFrame:
    """Rows (reading, image, subject, reference, *those of `score_target`) as table `scores`.

    `rows` are all that there are of these maps: some metrics choose a threshold on the other subjects.
    """
    return score_rows(maps_of, settled(rows))


def settled(rows: Sequence[tuple]) -> list[tuple]:
    """`rows` of `table` in which values that are arrays became numbers, by their metric's `across`.

    Such a metric's value for an image depends on the images of other subjects: of the same reading and
    reference. Where there are none, the row is `undefined`.
    """
    rows, together = list(rows), {}
    for at, (reading, _, _, reference, _, metric, _, value, *_) in enumerate(rows):
        if isinstance(value, np.ndarray):
            together.setdefault((reading, reference, metric), []).append(at)
    known = families() if together else {}
    for (_, _, metric), places in together.items():
        family = known[metric]
        values = family.across(np.stack([rows[at][7] for at in places]), [rows[at][2] for at in places])
        for at, value in zip(places, values):
            lost = np.isnan(value)
            found = (None, "undefined", family.UNSETTLED) if lost else (float(value), "ok", None)
            rows[at] = (*rows[at][:7], *found)
    return rows


@dataclass(frozen=True)
class Target:
    """One reference of one image, prepared for many maps; `absent` holds (reader, why) of the missing."""

    name: str
    kind: str  # gaze | region | none
    readers: tuple[str, ...] = ()  # one per row of references; "" for a region
    references: References | None = None
    shape: tuple[int, ...] = ()
    center_biases: dict[str, References | Absent] = field(default_factory=dict)
    absent: tuple[tuple[str, Absent], ...] = ()

    def of_reader(self, at: int) -> Target:
        """This target with the reference of one reader alone."""
        one = References(self.references.density[at : at + 1], self.references.standard[at : at + 1])
        return replace(self, readers=self.readers[at : at + 1], references=one, absent=())

    @property
    def suits(self) -> set[str]:
        """The kinds of reference, as metrics name them, that this target is."""
        return {self.kind, *(["centred_region"] if self.kind == "region" and self.center_biases else [])}

    @property
    def there(self) -> bool:
        """Whether a map can be scored against it."""
        return self.references is not None or self.kind == "none"


ALONE = Target("", "none", ("",))  # of metrics that look at the map alone


class Asked:
    """The metrics that are asked for, with their modules. Raises `ConfigError` for an unknown one."""

    def __init__(self, names: Sequence[str]):
        known = families()
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"scores.metrics: unknown metric {name!r}; expected some of {', '.join(known)}"
                )
        self.families = {name: known[name] for name in names}

    def pairs(self, target: Target) -> list[tuple[str, str]]:
        """(metric, leave_out) of the metrics that apply to `target`."""
        pairs = []
        for name, family in self.families.items():
            entry = family.METRICS[name]
            if target.suits & set(entry["references"]):
                leave_outs = list(target.center_biases) if entry["center_bias"] else []
                pairs += [(name, leave_out) for leave_out in leave_outs or [""]]
        return pairs

    def evaluate(self, ranked: Ranked, target: Target) -> dict[tuple[str, str], np.ndarray]:
        """{(metric, leave_out): scores (readers,)} of a map against a target that is there."""
        if not target.there:
            return {pair: np.array([np.nan]) for pair in self.pairs(target)}
        biases = {name: bias for name, bias in target.center_biases.items() if isinstance(bias, References)}
        wanted = list(dict.fromkeys(name for name, _ in self.pairs(target)))
        result = {}
        for family in dict.fromkeys(self.families.values()):
            names = [name for name in wanted if self.families[name] is family]
            result |= family.evaluate(names, ranked, target.references, biases) if names else {}
        return result


def target(reference: Reference, image: str) -> Target:
    """`reference` of `image`, prepared."""
    if isinstance(reference, RegionReference):
        return _region_target(reference, image)
    entries = reference.readings(image)
    there = [(reader, values) for reader, values in entries if not isinstance(values, Absent)]
    absent = [(reader, values) for reader, values in entries if isinstance(values, Absent)]
    if not entries:
        absent = [("", Absent("missing", "the image has no reading"))]
    biases = _center_biases(reference, image, bool(there))
    found = Target(reference.name, "gaze", center_biases=biases, absent=tuple(absent))
    if not there:
        return found
    readers, maps = zip(*there)
    return replace(found, readers=readers, references=similarity.prepare(others(maps)), shape=maps[0].shape)


def _center_biases(reference: Reference, image: str, there: bool) -> dict[str, References | Absent]:
    """The center bias of `image` by leave-out; none is opened where the reference itself is not `there`."""
    given = reference.center_bias(image) if there and reference.leave_outs else {}
    biases: dict[str, References | Absent] = {}
    for leave_out in reference.leave_outs:
        lost = Absent("missing", f"no center bias with leave_out '{leave_out}' for this image")
        bias = given.get(leave_out, lost)
        biases[leave_out] = bias if isinstance(bias, Absent) else similarity.prepare([bias])
    return biases


def _region_target(reference: RegionReference, image: str) -> Target:
    mask = reference.mask(image)
    if not isinstance(mask, Absent) and not mask.any():
        mask = Absent("missing", "the region is empty")
    biases = _center_biases(reference, image, not isinstance(mask, Absent))
    if isinstance(mask, Absent):
        return Target(reference.name, "region", center_biases=biases, absent=(("", mask),))
    region = mask.astype(bool)
    prepared = replace(similarity.prepare([region]), region=region.ravel())
    return Target(reference.name, "region", ("",), prepared, mask.shape, biases)


def rank(answer: Answer) -> Ranked | Absent:
    """A map ready to be scored; one with values that are not finite has `failed`."""
    if isinstance(answer, Absent):
        return answer
    bad = answer.size - int(np.isfinite(answer).sum())
    return Absent("failed", f"{bad} of {answer.size} values are not finite") if bad else Ranked(answer)


def score_target(target: Target, ranked: Ranked | Absent, asked: Asked) -> Iterator[tuple]:
    """(reader, metric, center_bias, value, status, reason) for everything asked of `target`.

    The value is an array (T,) where the metric is settled later (`settled`).
    """
    pairs = asked.pairs(target)
    inherited = dict(target.absent)
    if isinstance(ranked, Absent):  # what is wrong with the map is said before what is with the reference
        inherited = dict.fromkeys([*inherited, *target.readers], ranked)
    for reader, why in inherited.items():
        yield from ((reader, name, leave_out, None, why.status, why.reason) for name, leave_out in pairs)
    if isinstance(ranked, Absent) or not target.there:
        return
    if target.references is not None and ranked.shape != target.shape:
        raise ValueError(
            f"reference '{target.name}' has the grid {target.shape}, the map {ranked.shape}; expected one"
        )
    scores = asked.evaluate(ranked, target)
    lost = Absent("missing", f"the reference '{target.name}' has no center bias; set its leave_out")
    for name, leave_out in pairs:
        bias = target.center_biases.get(leave_out, lost)
        for at, reader in enumerate(target.readers):
            value = scores[name, leave_out][at] if (name, leave_out) in scores else None
            if value is None:
                yield (reader, name, leave_out, None, bias.status, bias.reason)
            elif np.isnan(value).any():
                yield (reader, name, leave_out, None, "undefined", _why_undefined(target, ranked, name))
            else:
                yield (reader, name, leave_out, float(value) if value.ndim == 0 else value, "ok", None)


def _why_undefined(target: Target, ranked: Ranked, metric: str) -> str:
    if ranked.constant:
        return "the map is constant"
    if target.kind == "region" and metric not in similarity.METRICS:
        return "the map has no positive value"
    return "the reference or the center bias is constant or without mass"
