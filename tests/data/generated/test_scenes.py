"""What generated scenes say of each pixel follows from where things are."""

import pickle

import numpy as np
import pytest
import torch

from counterpoint.data.generated import Scenes
from counterpoint.data.generated.cameras import Camera
from counterpoint.data.generated.dense_truth import edges, offsets
from counterpoint.data.generated.rendering import render
from counterpoint.data.generated.scenes import scene
from counterpoint.data.generated.solids import Sphere
from counterpoint.data.generated.streams import row_stream
from counterpoint.data.generated.textures import draw_texture
from counterpoint.data.generated.views import CLASSES, Thing, View, draw_view
from counterpoint.data.split import Rows

from .solid_forms import signed

SIZE = (36, 48)
SMALL = Scenes(train_rows=12, validation_rows=3, test_rows=4, height=36, width=48)


@pytest.fixture(scope="module")
def splits():
    return SMALL.splits()


@pytest.fixture(scope="module")
def views():
    """Twelve scenes with their renderings, and the points that their pixels show in the level frame."""
    found = []
    for row in range(12):
        rng = row_stream(5, 1, "train", row)
        view = draw_view(rng, *SIZE)
        shown = render(view, rng)
        points = view.camera.rays() * shown.depth[..., None] @ view.camera.axes.T
        found.append((view, shown, points))
    return found


def test_depth_times_ray_lies_on_the_surface_that_is_named(views):
    seen = set()
    for view, shown, points in views:
        for number in np.unique(shown.surface):
            mask = shown.surface == number
            label = CLASSES[shown.labels[mask][0]]
            assert (shown.labels[mask] == shown.labels[mask][0]).all()
            seen.add(label)
            if label == "sky":
                assert np.isnan(shown.depth[mask]).all()
                continue
            if label == "ground":
                residual = points[mask][:, 1] - view.camera.height
            elif label == "wall":
                wall = view.walls[number - 2]
                residual = points[mask] @ wall.normal - wall.distance
                assert (view.camera.height - points[mask][:, 1] <= wall.height + 1e-9).all()
            else:
                thing = view.things[number - 4]
                assert type(thing.solid).__name__.lower() == label
                residual = signed(thing.solid, (points[mask] - thing.place) @ thing.axes)
            np.testing.assert_allclose(residual, 0, atol=1e-9)
    assert seen == set(CLASSES)


def test_nothing_stands_between_the_camera_and_what_is_seen(views):
    shares = np.linspace(0.02, 0.995, 60)[:, None, None]
    for view, shown, _ in views[:6]:
        ways = (view.camera.rays() * np.where(np.isnan(shown.depth), 30, shown.depth)[..., None]) @ view.camera.axes.T
        between = (shares * ways.reshape(1, -1, 3)).reshape(-1, 3)
        for thing in view.things:
            assert (signed(thing.solid, (between - thing.place) @ thing.axes) > -1e-3).all()
        above = (between[:, 1] <= view.camera.height + 1e-9).reshape(len(shares), -1)
        assert above[:, (shown.labels != CLASSES.index("sky")).ravel()].all()


def test_normals_are_unit_and_face_the_camera(views):
    for view, shown, _ in views:
        known = np.isfinite(shown.depth)
        np.testing.assert_array_equal(np.isfinite(shown.normals).all(axis=-1), known)
        np.testing.assert_allclose(np.linalg.norm(shown.normals[known], axis=-1), 1, atol=1e-9)
        assert ((shown.normals * view.camera.rays()).sum(axis=-1)[known] < 0).all()


def test_normals_are_those_of_neighbouring_points(views):
    compared = 0
    for view, shown, _ in views:
        points = view.camera.rays() * shown.depth[..., None]
        middle = shown.surface[1:-1, 1:-1]
        same = np.ones(middle.shape, dtype=bool)
        for neighbour in (shown.surface[:-2, 1:-1], shown.surface[2:, 1:-1], shown.surface[1:-1, :-2],
                          shown.surface[1:-1, 2:]):  # fmt: skip
            same &= neighbour == middle
        across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
        crossed = np.cross(down, across)  # x right times y down is z ahead; the other way around it faces the camera
        with np.errstate(invalid="ignore"):
            crossed /= np.linalg.norm(crossed, axis=-1, keepdims=True)
        cosine = (crossed * shown.normals[1:-1, 1:-1]).sum(axis=-1)
        plane = same & np.isin(middle, (1, 2, 3))
        np.testing.assert_allclose(cosine[plane], 1, atol=1e-9)
        curved = same & (middle >= 4)
        compared += curved.sum()
        assert np.quantile(cosine[curved], 0.2) > 0.98  # edges of boxes and far sides of balls turn within two pixels
    assert compared > 500


def test_a_ball_is_seen_within_its_cone():
    camera = Camera(height=1.0, pitch=0.0, focal=60.0, rows=64, columns=64)
    texture = draw_texture(np.random.default_rng(0), 0.5, 1.0, (0.2, 0.8))
    ball = Thing(3, Sphere(1.0), np.array([0.5, 1.0, 5.0]), 0.3, texture)  # its middle is level with the camera
    view = View(camera, texture, (), (ball,), np.array([0.0, -1.0, 0.0]), 0.5, np.ones((2, 3)), 0.0)
    shown = render(view, np.random.default_rng(0))
    rays = camera.rays()
    middle = np.array([0.5, 0.0, 5.0])
    distance = np.linalg.norm(middle)
    angle = np.arccos(rays @ middle / distance / np.linalg.norm(rays, axis=-1))
    # The ground touches the ball in one point, which lies within the cone and is nearer to the ball's far side.
    np.testing.assert_array_equal(shown.labels == 3, angle <= np.arcsin(1.0 / distance))
    assert shown.depth[shown.labels == 3].min() == pytest.approx(4.0, abs=0.02)


def test_offsets_are_those_of_a_loop(splits):
    surface = scene(0, "train", 1, *SIZE).surface
    expected = np.full((2, *SIZE), np.nan)
    for number in range(4, surface.max() + 1):
        pixels = [(y, x) for y in range(SIZE[0]) for x in range(SIZE[1]) if surface[y, x] == number]
        for y, x in pixels:
            expected[0, y, x] = y - sum(p[0] for p in pixels) / len(pixels)
            expected[1, y, x] = x - sum(p[1] for p in pixels) / len(pixels)
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(offsets(surface), expected, atol=1e-5)
    np.testing.assert_allclose(splits["train"].targets["offsets"][1], expected, atol=1e-5)


def test_edges_are_those_of_a_loop():
    surface = scene(0, "train", 2, *SIZE).surface

    def around(y, x):
        steps = ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1))
        return [(a, b) for a, b in steps if 0 <= a < SIZE[0] and 0 <= b < SIZE[1]]

    hard = {(y, x) for y, x in np.ndindex(*SIZE) if any(surface[p] != surface[y, x] for p in around(y, x))}
    expected = np.zeros((1, *SIZE))
    for y, x in np.ndindex(*SIZE):
        expected[0, y, x] = 1 if (y, x) in hard else 0.5 * any(p in hard for p in around(y, x))
    np.testing.assert_array_equal(edges(surface), expected)


def test_forms_of_what_splits_hold(splits):
    assert {name: len(split) for name, split in splits.items()} == {"train": 12, "validation": 3, "test": 4}
    for split in splits.values():
        assert isinstance(split, Rows)
        assert split.inputs.dtype == torch.uint8
        for target in SMALL.targets:
            values = split.targets[target.name]
            dense = values.shape[-2:] == SIZE
            assert dense
            if target.kind == "segmentation":
                assert values.dtype == torch.int8
                assert 0 <= int(values.min()) <= int(values.max()) < target.outputs
            else:
                assert values.dtype == torch.float32
                assert values.shape[1] == target.outputs
    kept = Scenes(2, 1, 1, *SIZE, tasks=["depth", "segmentation"])  # as from a config file
    assert [target.name for target in kept.targets] == list(kept.splits()["test"].targets) == ["depth", "segmentation"]
    assert hash(kept) == hash(pickle.loads(pickle.dumps(kept)))  # noqa: S301  (our own)


def test_rows_do_not_depend_on_how_many_there_are(splits):
    fewer = Scenes(train_rows=5, validation_rows=1, test_rows=2, height=36, width=48).splits()
    for name, split in fewer.items():
        assert torch.equal(split.inputs, splits[name].inputs[: len(split)])
        for task, values in split.targets.items():
            np.testing.assert_array_equal(values, splits[name].targets[task][: len(split)])


def test_no_scene_is_in_two_splits_or_two_seeds(splits):
    images = [image.numpy().tobytes() for split in splits.values() for image in split.inputs]
    images += [image.numpy().tobytes() for image in SMALL.with_seed(1).splits()["validation"].inputs]
    assert len(set(images)) == len(images) == 12 + 3 + 4 + 3


def test_three_to_seven_things_that_do_not_overlap():
    counts = np.zeros(8, dtype=int)
    for row in range(150):
        view = draw_view(row_stream(0, 1, "test", row), *SIZE)
        counts[len(view.things)] += 1
        for place, thing in enumerate(view.things):
            corners = thing.corners
            assert all((corners @ wall.normal < wall.distance).all() for wall in view.walls)
            assert (corners @ view.camera.axes)[:, 2].min() > 0.3  # in front of the camera
            for other in view.things[:place]:
                apart = np.hypot(*(thing.place - other.place)[::2])
                assert apart > thing.solid.reach + other.solid.reach
    assert counts[:3].sum() == 0
    assert (counts[3:] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_rows": 0}, "train_rows is 0, expected at least 1"),
        ({"height": 4}, "height is 4, expected at least 8"),
        ({"seed": -1}, "seed is -1, expected at least 0"),
        ({"tasks": ("dept",)}, "scenes have no task 'dept', expected some of segmentation, offsets, depth"),
        ({"tasks": ()}, r"tasks of scenes are \[\], expected one or more"),
        ({"tasks": ("depth", "depth")}, "each once"),
    ],
)
def test_bad_options_get_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        Scenes(**options)
