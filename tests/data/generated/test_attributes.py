"""Forty attributes: what they say of the image, how they go together, and which evidence two groups share."""

import pickle

import numpy as np
import pytest
import torch

from counterpoint.data.generated import Attributes
from counterpoint.data.generated.attribute_images import attribute_images
from counterpoint.data.generated.factors import FACTORS, Draws, answers, draw_rows
from counterpoint.data.split import Rows

SMALL = Attributes(train_rows=60, validation_rows=5, test_rows=7)


@pytest.fixture(scope="module")
def splits():
    return SMALL.splits()


@pytest.fixture(scope="module")
def drawn():
    return draw_rows(3, "train", range(3_000), 8, 0.02)


def still(**factors):
    """One image without nuisances or noise; factors are 0.5 if not given."""
    values = np.array([[factors.get(name, 0.5) for name in FACTORS]], dtype=np.float32)
    empty = np.zeros((1, 40), dtype=bool)
    draws = Draws(values, np.zeros((1, 12), np.float32), empty, np.zeros((1, 3, 64, 64), np.float32))
    return attribute_images(draws)[0].transpose(1, 2, 0) / 255


def disc(image):
    """Mask of what is coloured: the wall is grey."""
    return np.ptp(image, axis=2) > 0.05


def test_eight_groups_of_five_make_the_forty_targets():
    names = [name for group in SMALL.groups for name in group]
    assert [target.name for target in SMALL.targets] == names
    assert {target.kind for target in SMALL.targets} == {"binary"}
    assert len(set(names)) == 40
    assert [len(group) for group in SMALL.groups] == [5] * 8
    for first, second in SMALL.conflicts:
        assert first != second
        assert 0 <= min(first, second) < max(first, second) < 8


def test_labels_are_the_answers_but_for_flips(splits):
    draws = draw_rows(SMALL.seed, "train", range(60), SMALL.size, SMALL.flipped)
    expected = answers(draws.factors) ^ draws.flips
    labels = torch.stack([splits["train"].targets[target.name] for target in SMALL.targets], dim=1)
    assert labels.dtype == torch.int64
    np.testing.assert_array_equal(labels.numpy(), expected)
    np.testing.assert_array_equal(attribute_images(draws), splits["train"].inputs)


def test_answers_of_one_factor_by_hand():
    values = np.array([0.3, 0.38, 0.45, 0.56, 0.9])[:, None].repeat(8, axis=1)
    found = answers(values).reshape(5, 8, 5)
    assert (found == found[:, :1]).all()
    expected = [  # above 0.41, below 0.47, above 0.53, below 0.59, in (0.25, 0.35] or (0.5, 1]
        [0, 1, 0, 1, 1],
        [0, 1, 0, 1, 0],
        [1, 1, 0, 1, 0],
        [1, 0, 1, 1, 1],
        [1, 0, 1, 0, 1],
    ]
    np.testing.assert_array_equal(found[:, 0].astype(int), expected)


def test_labels_are_balanced_and_go_together_within_groups_only(drawn):
    labels = (answers(drawn.factors) ^ drawn.flips).astype(float)
    assert labels.mean(axis=0).min() > 0.2
    assert labels.mean(axis=0).max() < 0.8
    together = np.abs(np.corrcoef(labels.T)).reshape(8, 5, 8, 5).transpose(0, 2, 1, 3)
    within = np.array([together[group, group] for group in range(8)])
    between = together[~np.eye(8, dtype=bool)]
    assert within.min() > 0.2
    assert between.max() < 0.1
    assert drawn.flips.mean() == pytest.approx(0.02, abs=0.002)


def test_each_factor_shows():
    assert still(hue=0.9)[32, 32, 0] > still(hue=0.1)[32, 32, 0]
    assert still(hue=0.1)[32, 32, 2] > still(hue=0.9)[32, 32, 2]
    for low, high in ((0.1, 0.5), (0.5, 0.9)):
        for name in ("size", "nearness"):
            assert disc(still(**{name: high})).sum() > 1.2 * disc(still(**{name: low})).sum()
        assert still(albedo=high)[32, 32].mean() > 1.2 * still(albedo=low)[32, 32].mean()
        assert still(light=high)[2].mean() > 1.2 * still(light=low)[2].mean()  # the wall
        tall = [disc(still(aspect=level)).any(axis=1).sum() / disc(still(aspect=level)).any(axis=0).sum()
                for level in (low, high)]  # fmt: skip
        assert tall[1] > 1.2 * tall[0]
        middle = [np.nonzero(disc(still(nearness=level)))[0].mean() for level in (low, high)]
        assert middle[1] > middle[0] + 2
    level, upright = still(angle=0.0)[-6:, :, 0], still(angle=1.0)[-6:, :, 0]
    assert np.ptp(level, axis=1).max() < 0.02 < np.ptp(level, axis=0).max()
    assert np.ptp(upright, axis=0).max() < 0.02 < np.ptp(upright, axis=1).max()
    crossings = [
        (np.diff(np.sign(still(angle=1.0, period=level)[-1, :, 0] - 0.45)) != 0).sum() for level in (0.1, 0.5, 0.9)
    ]
    assert crossings[0] > crossings[1] > crossings[2] > 2


def test_conflicting_groups_are_told_apart_by_little_but_their_sum():
    pairs = [tuple(FACTORS[place] for place in pair) for pair in SMALL.conflicts]
    assert pairs == [("albedo", "light"), ("size", "nearness")]
    # The disc is as bright, or as large, whichever of the two is high.
    bright = [still(**{name: 0.9})[32, 32] for name in pairs[0]]
    np.testing.assert_allclose(bright[0], bright[1], atol=1 / 255)
    areas = [disc(still(**{name: 0.9})).sum() for name in pairs[1]]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)


def test_explaining_away(drawn):
    """Where the disc looks alike, high values of one factor go with low ones of the other."""
    for pair in SMALL.conflicts:
        first, second = drawn.factors[:, pair].T
        alike = np.abs(first + second - 1) < 0.1
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(0, abs=0.06)
        assert np.corrcoef(first[alike], second[alike])[0, 1] < -0.9


def measured(images):
    """[N, 5], standardized: brightness of disc and wall, width and place of the disc, how warm it is."""
    pixels = images / 255
    mask = np.ptp(pixels, axis=1) > 0.15
    area = np.maximum(mask.sum((1, 2)), 1)
    on_disc = [
        (values * mask).sum((1, 2)) / area
        for values in (pixels.mean(1), np.arange(images.shape[-1])[:, None], pixels[:, 0] - pixels[:, 2])
    ]
    seen = [np.log(on_disc[0] + 0.02), np.log(pixels[:, :, :3].mean((1, 2, 3)) + 0.02), np.log(area), *on_disc[1:]]
    return np.stack([(values - values.mean()) / values.std() for values in seen], axis=1)


def test_gradients_of_conflicting_groups_oppose_each_other_at_what_is_seen_of_them():
    """Linear heads on measurements, fitted for all at once: nothing of this project but the images and the labels."""
    draws = draw_rows(0, "train", range(1_500), 24, 0.02)
    features = torch.from_numpy(measured(attribute_images(draws)))
    labels = torch.from_numpy((answers(draws.factors) ^ draws.flips).astype(float))
    weight, bias = torch.zeros(5, 40, dtype=torch.float64), torch.zeros(40, dtype=torch.float64)
    fit = torch.optim.LBFGS([weight.requires_grad_(), bias.requires_grad_()], max_iter=15)

    def loss():
        fit.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(features @ weight + bias, labels)
        value.backward()
        return value

    fit.step(loss)
    with torch.no_grad():
        errors = (features @ weight + bias).sigmoid() - labels
        together = (errors.T @ errors) * (weight.T @ weight)  # sums over images of products of gradients
    groups = together.reshape(8, 5, 8, 5).sum((1, 3)).numpy()
    # Nothing was measured of aspect and stripes.
    known = [FACTORS.index(name) for name in ("hue", "albedo", "light", "size", "nearness")]
    cosines = groups / np.sqrt(np.outer(groups.diagonal(), groups.diagonal()))
    for first in known:
        for second in known:
            if (first, second) in SMALL.conflicts:
                assert cosines[first, second] < -0.06
            elif first < second and (second, first) not in SMALL.conflicts:
                assert abs(cosines[first, second]) < 0.03


def test_rows_do_not_depend_on_how_many_there_are(splits):
    fewer = Attributes(train_rows=9, validation_rows=2, test_rows=3).splits()
    for name, split in fewer.items():
        assert isinstance(split, Rows)
        assert torch.equal(split.inputs, splits[name].inputs[: len(split)])
        assert all(torch.equal(own, splits[name].targets[task][: len(split)]) for task, own in split.targets.items())
    images = [image.numpy().tobytes() for split in splits.values() for image in split.inputs]
    images += [image.numpy().tobytes() for image in SMALL.with_seed(1).splits()["test"].inputs]
    assert len(set(images)) == len(images) == 60 + 5 + 7 + 7
    assert hash(SMALL) == hash(pickle.loads(pickle.dumps(SMALL)))  # noqa: S301  (our own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_rows": 0}, "test_rows is 0, expected at least 1"),
        ({"size": 4}, "size is 4, expected at least 8"),
        ({"seed": -2}, "seed is -2, expected at least 0"),
        ({"flipped": 0.5}, "flipped is 0.5, expected at least 0 and less than 0.5"),
    ],
)
def test_bad_options_get_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        Attributes(**options)
