"""Generated images with exact labels."""

from counterpoint.data.generated.attributes import Attributes
from counterpoint.data.generated.scenes import Scenes

__all__ = ["Attributes", "Scenes"]
