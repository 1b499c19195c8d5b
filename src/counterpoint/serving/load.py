"""Reading a bundle."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from counterpoint.serving.bundle import Bundle
from counterpoint.serving.custom import CustomNetwork
from counterpoint.serving.errors import BundleError
from counterpoint.serving.manifest import read_manifest
from counterpoint.serving.served import ServedModel, ServedNetwork
from counterpoint.serving.weights import check_weights, load_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterpoint.serving.manifest import Entry


def load_bundle(path: str | Path, *, trust: Sequence[str] = ()) -> Bundle:
    """Loads what a study wrote, to predict with.

    Everything is checked here: that the folder is a bundle, that its weights are those that were written with it, and
    that they fit the networks that it describes. Nothing is unpickled and no code of the bundle's is run. Weights are
    read when a task is first predicted, and only those of the networks that serve the tasks asked for.

    Args:
        path: The bundle's folder.
        trust: Packages whose classes may be imported, for a bundle whose networks are of a user's own classes;
            importing a package runs its code.

    Raises:
        BundleError: (a ``ValueError``) if there is no bundle, or it is damaged, of a newer version, points outside its
            folder, or names classes of packages that are not trusted.

    Example:
        >>> import tempfile, torch
        >>> from counterpoint import MultiTaskModel, load_bundle
        >>> from counterpoint.data.tables import Target
        >>> from counterpoint.serving import Bundle, ClassPath, CustomNetwork, ServedNetwork, write_bundle
        >>> linear = ClassPath.of("torch.nn.Linear", {"in_features": 3, "out_features": 1})
        >>> network = CustomNetwork(ClassPath.of("torch.nn.Identity"), (("price", linear),))
        >>> model = MultiTaskModel(network.encoder(["price"]), {"price": network.head("price", 1)})
        >>> bundle = Bundle((Target("price", "regression"),), (ServedNetwork.of(model, network),))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bundle(folder + "/bundle", bundle)
        ...     loaded = load_bundle(folder + "/bundle")
        ...     loaded.predict(torch.ones(2, 3)).equals(bundle.predict(torch.ones(2, 3)))
        True
    """
    folder = Path(path)
    if isinstance(trust, str):
        raise ValueError(  # noqa: TRY004  (an option, not an argument's type)
            f"trust is the text {trust!r}, expected a list of packages: trust=[{trust!r}]"
        )
    manifest = read_manifest(folder, tuple(trust))
    outputs = {target.name: target.outputs for target in manifest.targets}
    networks = tuple(
        ServedNetwork(entry.network, entry.tasks, entry.serves, partial(_load, entry, outputs))
        for entry in manifest.entries
    )
    try:
        bundle = Bundle(manifest.targets, networks, manifest.preprocessing, manifest.about)
    except BundleError as error:
        raise BundleError(f"'{folder}': {error}") from None
    for entry in manifest.entries:
        check_weights(entry.file, entry.weights, partial(_blank, entry, outputs))
    return bundle


def _blank(entry: Entry, outputs: Mapping[str, int]) -> ServedModel:
    """The network without its weights; one for tables is of tensors with shapes and no memory."""
    # Constructors of a user's own may not know of the meta device; they draw first weights, only to be replaced.
    own = isinstance(entry.network, CustomNetwork)
    with torch.random.fork_rng(devices=[]) if own else torch.device("meta"):
        heads = {task: entry.network.head(task, outputs[task]) for task in entry.serves}
        return ServedModel(entry.network.encoder(entry.tasks), heads)


def _load(entry: Entry, outputs: Mapping[str, int]) -> ServedModel:
    state = load_weights(entry.file, entry.sha256)
    model = _blank(entry, outputs)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(requires_grad=False)
