"""How Sphinx builds the site: `make docs`, without a network, warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from figures import draw_all  # noqa: E402
from sphinx_gallery.sorting import ExplicitOrder  # noqa: E402

from skweiper.version import __version__  # noqa: E402

project = "skweiper"
author = "The skweiper developers"
copyright = author
release = version = __version__

extensions = [
    "mathml",
    "no_addresses",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "results"]
templates_path = ["_templates"]
default_role = "code"
highlight_language = "text"
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types are prose in numpydoc; pages and labels are held

source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_use_plots = False

GALLERY = [
    "plot_digits.py",
    "plot_clinc150.py",
    "plot_dump.py",
    "plot_thresholds.py",
    "plot_stream.py",
    "plot_file_types.py",
    "plot_detectors.py",
    "plot_ensemble.py",
    "plot_grid_search.py",
    "plot_sweep.py",
    "plot_ablation.py",
    "plot_cone.py",
    "plot_densities.py",
]
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "within_subsection_order": ExplicitOrder([*GALLERY, "*"]),
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skweiper",),
    "reference_url": {"skweiper": None},
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its page loads scripts from elsewhere
    "min_reported_time": 1,
    "abort_on_example_error": True,
    "copyfile_regex": "",
    "ignore_repr_types": r"skweiper",
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skweiper"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skweiper"},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "navigation_with_keys": False,
    "pygments_light_style": "friendly",
    "pygments_dark_style": "monokai",
}
ALONE = [
    "index",
    "getting_started",
    "choosing",
    "how_it_works",
    "pitfalls",
    "reproducing",
    "changelog",
]
html_sidebars = {page: [] for page in ALONE}


def setup(app):
    """Draw the figures of the guides from data, before any page is read."""
    app.connect("builder-inited", lambda app: draw_all(HERE / "_generated"))
