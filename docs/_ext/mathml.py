"""Formulas as MathML, which browsers draw themselves: no script, no font, no network.

Docutils brings the translation from LaTeX; this is its renderer for Sphinx.
"""

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError


def as_mathml(node, as_block):
    """MathML of a docutils node that holds LaTeX."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"{node.source}:{node.line}: no such formula: {error}") from None


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
