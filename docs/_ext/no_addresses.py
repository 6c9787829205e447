"""FPR@95 is no electronic address, whatever reStructuredText takes it for."""

from docutils import nodes


def as_text(app, doctree):
    """Replace links to addresses by their text: the site names none."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:"):
            link.replace_self(link.children)


def setup(app):
    """Look at every page once it is read."""
    app.connect("doctree-read", as_text)
    return {"parallel_read_safe": True}
