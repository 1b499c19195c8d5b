"""How Sphinx builds the site: ``make docs``. Nothing here needs a network.

Pages are written so that their links work where they are read in the repository, too: see
``_extensions/repository_links.py``. What is made while building (``gallery/``, ``api/generated/``, ``results.md``) is
not in the repository.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

import counterpoint

project = "Counterpoint"
author = "The Counterpoint authors"
copyright = "The Counterpoint authors. Apache-2.0"  # noqa: A001  (Sphinx's name)
release = version = counterpoint.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "attribute_fields",
    "command_help",
    "reference_text",
    "repository_links",
    "results_page",
    "short_references",
]
exclude_patterns = ["examples", "figures", "pictures", "_extensions", "_generated", "**/README.rst"]
templates_path = ["_templates"]

# Pages: Markdown with $mathematics$, and an anchor for every heading, as in the repository's own view.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
default_role = "code"  # a docstring that says `name` means code

# Reference: one page an object, named as users import it, with the signature as it is written.
autosummary_generate = True
autosummary_imported_members = True
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "extra_repr"}  # torch's, for repr
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Guides: programs that run while the site is built. One that fails ends the build.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 3600,  # how long the builder's machine took is no news for readers
    "write_computation_times": False,
    "image_srcset": ["2x"],
}

# A copied console block or Python session leaves prompts and output behind.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "Counterpoint"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

# MathJax from a package of the docs extra, as one file that also works without a server (no fonts to fetch).
_mathjax = find_spec("sphinx-mathjax-offline")
if _mathjax is None or _mathjax.origin is None:
    raise SystemExit("sphinx-mathjax-offline is not installed: pip install --editable '.[study,dev,docs]'")
html_static_path.append(str(Path(_mathjax.origin).parent / "static" / "mathjax" / "tex-svg.js"))
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}
