"""Bundles: models that predict, in a folder of JSON and numbers."""

from counterpoint.serving.bundle import Bundle
from counterpoint.serving.custom import ClassPath, CustomNetwork
from counterpoint.serving.errors import BundleError
from counterpoint.serving.files import Predicted, predict_file
from counterpoint.serving.load import load_bundle
from counterpoint.serving.served import ServedModel, ServedNetwork
from counterpoint.serving.write import write_bundle

__all__ = [
    "Bundle",
    "BundleError",
    "ClassPath",
    "CustomNetwork",
    "Predicted",
    "ServedModel",
    "ServedNetwork",
    "load_bundle",
    "predict_file",
    "write_bundle",
]
