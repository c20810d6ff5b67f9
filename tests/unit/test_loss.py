"""The loss of exclusive labels, accuracy and balanced weights against torch and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from sightline.models import validation
from sightline.models.loss import class_weights, classes_of, known_count, masked_loss, right

NAN = float("nan")
# one label; one with unknown others; none; two; all unknown
TARGETS = torch.tensor(
    [[0, 1, 0], [1, 0, 0], [1, NAN, NAN], [0, 0, 1], [0, 0, 0], [1, 1, 0], [NAN, NAN, NAN]],
    dtype=torch.float64,
)
CLASSES, KNOWN = torch.tensor([1, 0, 0, 2]), 4


def drawn(rows=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=generator, dtype=torch.float64)


def test_an_image_without_exactly_one_label_is_unknown():
    known, classes = classes_of(TARGETS)
    assert known.tolist() == [True] * 4 + [False] * 3
    assert classes[:4].tolist() == CLASSES.tolist()
    assert known_count(TARGETS, "categorical") == KNOWN
    assert known_count(TARGETS, "binary") == 16


def test_categorical_loss_is_torchs_over_the_known_and_the_rest_has_no_gradient():
    output = drawn().requires_grad_()
    loss, count = masked_loss(output, TARGETS, torch.ones(3), "categorical")
    loss.backward()
    assert count == KNOWN
    assert loss.item() == pytest.approx(functional.cross_entropy(output[:4], CLASSES).item(), rel=1e-12)
    assert (output.grad[4:] == 0).all() and output.grad[:4].abs().min() > 0
    nothing, count = masked_loss(output, TARGETS[4:].repeat(3, 1)[:7], torch.ones(3), "categorical")
    assert (nothing.item(), count) == (0.0, 0)


def test_weighted_loss_divides_by_images_not_by_weights():
    weights, output = torch.tensor([0.5, 2.0, 4.0]), drawn()
    loss, _ = masked_loss(output, TARGETS, weights, "categorical")
    each = functional.cross_entropy(output[:4], CLASSES, reduction="none")
    assert loss.item() == pytest.approx((each * weights[CLASSES]).mean().item(), rel=1e-7)


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_parts_of_a_step_add_up(kind):
    output, weights = drawn(), torch.tensor([0.5, 2.0, 4.0])
    whole, count = masked_loss(output, TARGETS, weights, kind)
    of_parts = [
        masked_loss(output[part], TARGETS[part], weights, kind, count)[0]
        for part in (slice(0, 3), slice(3, 7))
    ]
    assert sum(of_parts).item() == pytest.approx(whole.item(), rel=1e-12)


def test_balanced_classes_are_scikit_learns():
    classes = np.array([0] * 12 + [1] * 3 + [2] * 5)
    targets = np.concatenate([np.eye(3)[classes], [[1, 1, 0], [0, 0, 0]]]).astype(np.float32)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    found = class_weights(targets, "balanced", "categorical").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[classes].mean() == pytest.approx(1.0)
    assert (class_weights(targets, "none", "categorical") == 1).all()
    without_the_last = class_weights(targets[:15], "balanced", "categorical").numpy()
    np.testing.assert_allclose(without_the_last, [15 / 24, 15 / 6, 1.0])


def test_accuracy_is_scikit_learns():
    said, targets = drawn(7).numpy(), TARGETS.numpy()
    expected = accuracy_score(CLASSES, said[:4].argmax(axis=1))
    assert validation.accuracy(said, targets, "categorical") == pytest.approx(expected)
    assert right(torch.from_numpy(said), TARGETS).item() == round(expected * KNOWN)
    of_labels = []
    for label in range(3):
        known = ~np.isnan(targets[:, label])
        of_labels.append(accuracy_score(targets[known, label], said[known, label] > 0))
    assert validation.accuracy(said, targets, "binary") == pytest.approx(np.mean(of_labels))
    assert 0 < np.mean(of_labels) < 1
    # a label that nobody knows does not count
    unknown = np.where([True, True, False], targets, np.nan)
    assert validation.accuracy(said, unknown, "binary") == pytest.approx(np.mean(of_labels[:2]))


def test_categorical_auc_is_scikit_learns_one_against_the_rest():
    classes = np.arange(60) % 3
    said = drawn(60, seed=1).numpy() + 0.7 * np.eye(3)[classes]
    targets = np.eye(3, dtype=np.float32)[classes]
    softmax = torch.from_numpy(said).softmax(dim=1).numpy()
    expected = roc_auc_score(classes, softmax, multi_class="ovr", average="macro")
    assert validation.mean_auc(said, targets, "categorical") == pytest.approx(expected, abs=1e-12)
    assert abs(validation.mean_auc(said, targets, "binary") - expected) > 1e-4  # logits are not comparable
    mixed = np.concatenate([targets, [[1, 1, 0]]]).astype(np.float32)
    with_unknown = validation.mean_auc(np.concatenate([said, [[9, 9, 9]]]), mixed, "categorical")
    assert with_unknown == pytest.approx(expected, abs=1e-12)
    assert validation.mean_auc(said[::3], targets[::3], "categorical") is None


def test_odds_are_those_of_the_softmax():
    said = drawn(20, seed=2).numpy()
    softmax = torch.from_numpy(said).softmax(dim=1).numpy()
    np.testing.assert_allclose(validation.odds(said), np.log(softmax / (1 - softmax)), rtol=1e-9)
    huge = validation.odds(np.array([[800.0, 0.0, -3.0]]))
    assert np.isfinite(huge).all() and huge[0, 0] > 799  # where 1 - p is 0 in floating point
