"""Folders of images with attributes or dense targets, decoded when asked."""

from counterpoint.data.images.target import ImageTarget

__all__ = ["ImageTarget"]
