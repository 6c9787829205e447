"""Formulas as MathML, which browsers draw themselves: no script, no font, no network.

Docutils brings the translation from LaTeX; this is its renderer for Sphinx.
"""

import re
from html import unescape
from xml.etree import ElementTree

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
HTML_ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")
ACCENTS = {"~", "^", "\N{MACRON}"}


def as_mathml(node, as_block):
    """MathML of a docutils node that holds LaTeX."""
    try:
        mathml = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"{node.source}:{node.line}: no such formula: {error}") from None
    return with_indices_beside(mathml) if "munderover" in mathml else mathml


def with_indices_beside(mathml):
    """MathML with the index of an accented letter beside it, where docutils puts it below."""
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(HTML_ENTITY.sub(lambda found: unescape(found[0]), mathml))
    for element in root.iter(f"{{{NAMESPACE}}}munderover"):
        base, index, accent = element
        if (accent.text or "").strip() in ACCENTS:
            element.tag = f"{{{NAMESPACE}}}msub"
            element[:] = [ElementTree.Element(f"{{{NAMESPACE}}}mover", accent="true"), index]
            element[0].extend([base, accent])
    return ElementTree.tostring(root, encoding="unicode")


def visit_inline(translator, node):
    """A formula in a line."""
    translator.body.append(as_mathml(node, as_block=False))
    raise SkipNode


def visit_block(translator, node):
    """A formula of its own, which scrolls by itself where the page is narrow."""
    translator.body.append(f'<div class="formula">{as_mathml(node, as_block=True)}</div>\n')
    raise SkipNode


def setup(app):
    """Register the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
