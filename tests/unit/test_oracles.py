"""Against grad-cam, Quantus and pysaliency, by numbers that `make oracles` wrote to tests/fixtures.

Where a library's definition is another one, the test says how, and compares what follows from both.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import score_cam
from sightline.attribution.probes import deletion, road, sensitivity_max
from sightline.attribution.probing import Probed
from sightline.metrics import localisation, similarity, sparseness
from tests.oracles import fixture, gradcam_library, quantus_library

UNTIED = (0, 1)  # of Quantus' maps; the third has ties, which Quantus takes in the order of its sort


# ---- grad-cam


@pytest.fixture(scope="module")
def gradcam() -> dict[str, np.ndarray]:
    with np.load(gradcam_library.FIXTURE) as found:
        return dict(found)


def weights(given: dict[str, np.ndarray], folder: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(folder): value for name, value in given.items() if name.startswith(folder)}


def test_score_cam_with_softmax_weights_is_that_of_the_gradcam_library(gradcam):
    network = gradcam_library.full_size_network(weights(gradcam, "full_size_weights/"))
    model = Explained(network, ("a", "b", "c"))
    images = Images.of(torch.from_numpy(gradcam["part"]))
    (found,) = score_cam.explain(model, images, classes(model.labels), layers=["1"], weights="softmax")
    np.testing.assert_allclose(found.values, gradcam["score_cam"], rtol=1e-4, atol=1e-5)


def test_imputed_pixels_are_those_of_the_gradcam_library(gradcam):
    found = [road.imputed(pixels, gradcam["road/gone"]) for pixels in gradcam["part"]]
    np.testing.assert_allclose(found, gradcam["road/imputed"], rtol=1e-4, atol=1e-5)


def test_road_is_that_of_the_gradcam_library(gradcam):
    """Theirs averages logits here, as its targets give them."""
    labels = ("a", "b", "c")
    model = Explained(gradcam_library.network(weights(gradcam, "weights/")), labels)
    maps = np.repeat(gradcam["road/maps"][:, None], len(labels), axis=1)
    probed = Probed(model, Images.of(torch.from_numpy(gradcam["part"])), classes(labels), maps, None)
    found = road.probe(probed, removed=gradcam_library.REMOVED, noise=0.0, output="logit")
    own = np.arange(2)  # image i was scored for class i
    np.testing.assert_allclose(found["road_most_first"][own, own], gradcam["road/most_first"], rtol=1e-4)
    np.testing.assert_allclose(found["road"][own, own], gradcam["road/combined"], rtol=1e-4)


# ---- Quantus


@dataclass(frozen=True)
class Quantus:
    """`maps` (n, y, x), `regions` (n, y, x), `images` (n, 1, y, x) and what the library `said`."""

    maps: np.ndarray
    regions: np.ndarray
    images: torch.Tensor
    said: dict

    def each(self, metric, *which: int) -> np.ndarray:
        """`metric(map, region)` of the maps `which`, or all."""
        return np.array([metric(self.maps[i], self.regions[i]) for i in which or range(len(self.maps))])


@pytest.fixture(scope="module")
def quantus() -> Quantus:
    said = fixture.read("quantus_library")
    images = torch.tensor(said["images"], dtype=torch.float32)[:, None]
    return Quantus(np.array(said["maps"]), np.array(said["regions"], dtype=bool), images, said)


def test_sparseness_and_complexity_are_quantus(quantus):
    """Quantus adds 1e-7 to every pixel before the Gini index, 1e-12 to every share before its logarithm."""
    for name in ("gini", "complexity"):
        found = [getattr(sparseness, name)(saliency) for saliency in quantus.maps]
        np.testing.assert_allclose(found, quantus.said[name], rtol=1e-6)


def test_the_pointing_game_is_quantus_but_for_tied_maxima(quantus):
    """Quantus counts a hit where any of the tied maxima lies inside; here their share is the score."""
    found = quantus.each(localisation.pointing_game)
    assert list(found[list(UNTIED)]) == quantus.said["pointing_game"][:2] == [0.0, 1.0]
    assert quantus.said["pointing_game"][2] == 1.0
    assert 0.0 < found[2] < 1.0


def test_relevance_mass_accuracy_is_the_mass_inside(quantus):
    """Quantus was given the maps' positive parts: of a signed map it sums negative values too."""
    found = quantus.each(localisation.mass_inside)
    np.testing.assert_allclose(found, quantus.said["relevance_mass_accuracy"], rtol=1e-6)


def test_relevance_rank_accuracy_is_the_precision_that_the_iou_of_equal_area_follows_from(quantus):
    """Of k pixels of a region a share r is among the k highest: the IoU is r / (2 - r)."""
    share = np.array(quantus.said["relevance_rank_accuracy"])[list(UNTIED)]
    found = quantus.each(localisation.iou_quantile, *UNTIED)
    np.testing.assert_allclose(found, share / (2 - share), rtol=1e-12)


@pytest.mark.parametrize("at", range(len(quantus_library.TOP)))
def test_top_k_intersection_is_the_share_of_the_highest_pixels_inside(quantus, at):
    count = quantus_library.TOP[at]

    def inside(saliency: np.ndarray, region: np.ndarray) -> float:
        return localisation.highest(saliency.ravel(), count)[region.ravel()].sum() / count

    found = quantus.each(inside, *UNTIED)
    np.testing.assert_allclose(found, np.array(quantus.said["top_k_intersection"])[at, list(UNTIED)])


def test_auc_of_a_region_is_quantus_auc_thinned_by_the_region_itself(quantus):
    """Ours draws negatives from all pixels (half a win within the region), theirs from those outside."""
    area = quantus.regions.mean(axis=(1, 2))
    found = quantus.each(lambda saliency, region: similarity.auc(region.astype(float), saliency))
    np.testing.assert_allclose(found, area / 2 + (1 - area) * quantus.said["auc"], rtol=1e-12)


@dataclass(frozen=True)
class Drawing(Images):
    """Images whose noise is that of the oracle."""

    def generator(self, index: int, purpose: str) -> torch.Generator:
        return quantus_library.draws(index)


def test_sensitivity_max_is_quantus_for_the_same_noise(quantus):
    pixels = quantus.images
    images = Drawing(pixels, Images.of(pixels).names)
    model = Explained(quantus_library.network(quantus.said["weights"]), ("a", "b"))

    def again(altered: Images) -> np.ndarray:
        return quantus_library.saliency(altered.pixels.numpy())  # one channel, one target

    probed = Probed(model, images, classes(model.labels, ("a",)), again(images), again)
    found = sensitivity_max.probe(probed, samples=quantus_library.SAMPLES, radius=quantus_library.RADIUS)
    np.testing.assert_allclose(found["sensitivity_max"][:, 0], quantus.said["max_sensitivity"], rtol=1e-5)


def test_pixel_flipping_is_the_curve_of_deletion(quantus):
    """Of one channel: of three, Quantus flips each value of a pixel in a step of its own."""
    pixels = quantus.images
    model = Explained(quantus_library.network(quantus.said["weights"]), ("a", "b"))
    maps = np.repeat(quantus.maps[:, None], 2, axis=1)
    probed = Probed(model, Images.of(pixels), classes(model.labels), maps, None)
    steps = pixels[0].numel() // quantus_library.STEP
    curves = deletion.curve(probed, pixels, torch.zeros_like(pixels), steps, "logit")
    found = curves[np.arange(len(pixels)), quantus.said["labels"], 1:]  # theirs has no whole image
    np.testing.assert_allclose(
        found[list(UNTIED)], np.array(quantus.said["pixel_flipping"])[list(UNTIED)], rtol=1e-5
    )


# ---- pysaliency


@dataclass(frozen=True)
class Fixated:
    """`maps` (n, y, x), fixations counted at their pixels `counts` (n, y, x), and what the library said.

    Of its scores, one for each fixation, `mean(name)` are the means over each image's.
    """

    maps: np.ndarray
    counts: np.ndarray
    said: dict

    def mean(self, name: str) -> np.ndarray:
        scores, image = np.array(self.said[name]), np.array(self.said["image"])
        return np.array([scores[image == number].mean() for number in range(len(self.maps))])


@pytest.fixture(scope="module")
def fixated() -> Fixated:
    said = fixture.read("pysaliency_library")
    maps = np.array(said["maps"])
    counts = np.zeros_like(maps)
    np.add.at(counts, (said["image"], said["y"], said["x"]), 1.0)
    assert counts.max() == 2.0
    return Fixated(maps, counts, said)


def test_auc_of_fixations_is_the_auc_of_a_density_of_point_masses(fixated):
    found = [similarity.auc(*pair) for pair in zip(fixated.counts, fixated.maps)]
    np.testing.assert_allclose(found, fixated.mean("auc"), rtol=1e-12)


def test_shuffled_auc_of_fixations_is_the_sauc_against_those_of_the_other_images(fixated):
    others = fixated.counts.sum(axis=0) - fixated.counts
    found = [similarity.sauc(*three) for three in zip(fixated.counts, fixated.maps, others)]
    np.testing.assert_allclose(found, fixated.mean("sauc"), rtol=1e-12)


def test_nss_is_the_ncc_of_point_masses_times_their_spread(fixated):
    """Fixations n_i in N pixels: mean of the standardised map over them = NCC sd(n) / mean(n)."""
    spread = fixated.counts.std(axis=(1, 2)) / fixated.counts.mean(axis=(1, 2))
    found = [similarity.ncc(*pair) for pair in zip(fixated.counts, fixated.maps)]
    np.testing.assert_allclose(found * spread, fixated.mean("nss"), rtol=1e-10)


def test_cc_is_the_ncc(fixated):
    found = [similarity.ncc(*pair) for pair in zip(np.array(fixated.said["density"]), fixated.maps)]
    np.testing.assert_allclose(found, fixated.said["cc"], rtol=1e-10)
