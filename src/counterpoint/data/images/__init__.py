"""Folders of images with attributes or dense targets, decoded when asked."""

from counterpoint.data.images.augmentation import Augmentation
from counterpoint.data.images.batches import ImageBatches
from counterpoint.data.images.celeba import CelebA
from counterpoint.data.images.cityscapes import Cityscapes
from counterpoint.data.images.nyuv2 import NYUv2
from counterpoint.data.images.rows import ImageRows
from counterpoint.data.images.target import ImageTarget
from counterpoint.data.images.taskonomy import Taskonomy

__all__ = ["Augmentation", "CelebA", "Cityscapes", "ImageBatches", "ImageRows", "ImageTarget", "NYUv2", "Taskonomy"]
