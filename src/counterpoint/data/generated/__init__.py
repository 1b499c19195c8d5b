"""Generated images with exact labels."""

from counterpoint.data.generated.attributes import Attributes
from counterpoint.data.generated.folders import write_celeba, write_cityscapes, write_nyuv2, write_taskonomy
from counterpoint.data.generated.scenes import Scenes

__all__ = ["Attributes", "Scenes", "write_celeba", "write_cityscapes", "write_nyuv2", "write_taskonomy"]
