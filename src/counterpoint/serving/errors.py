"""What goes wrong with bundles."""

from __future__ import annotations


class BundleError(ValueError):
    """A bundle that cannot be read, written or trusted: one line that says which, where, and what to do.

    Example:
        >>> from counterpoint.serving import load_bundle
        >>> try:
        ...     load_bundle("/nowhere")
        ... except BundleError as error:
        ...     print(error)
        there is no bundle '/nowhere': expected the folder that a study wrote, for example runs/study/bundle
    """
