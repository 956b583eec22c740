"""Sphinx settings: guide pages in Markdown, the API reference generated from docstrings."""

import importlib
import pkgutil
from importlib import metadata
from pathlib import Path

import educe

project = "educe"
author = "the educe authors"
version = release = metadata.version("educe")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "educe"
default_role = "code"
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]


def write_reference() -> None:
    """Write one page for each room, from what the room exports."""
    folder = Path(__file__).parent / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    names = ["educe.testing"]
    names += [f"educe.{item.name}" for item in pkgutil.iter_modules(educe.__path__) if item.ispkg]
    pages = []
    for name in sorted(names):
        module = importlib.import_module(name)
        public = getattr(module, "__all__", ())
        if not public:
            continue
        lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
        for item in public:
            value = getattr(module, item)
            kind = "autoclass" if isinstance(value, type) else "autofunction" if callable(value) else "autodata"
            lines += [f".. {kind}:: {name}.{item}", *(["   :members:"] if kind == "autoclass" else []), ""]
        (folder / f"{name}.rst").write_text("\n".join(lines), encoding="utf-8")
        pages.append(name)
    toc = ["Reference", "=========", "", "One page for each room, generated from the docstrings.", ""]
    toc += [".. toctree::", "   :maxdepth: 1", "", *(f"   {page}" for page in pages), ""]
    (folder / "index.rst").write_text("\n".join(toc), encoding="utf-8")


write_reference()
