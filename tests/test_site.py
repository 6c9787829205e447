"""The site: every public name is in its reference, and no built page is empty or leads nowhere."""

import re
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import skweiper
from tests.test_public_face import PUBLIC

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
LEAST_TEXT = 100
"""Characters of a page's own text: less is an empty page."""
NO_ARTICLE = {"genindex.html", "search.html", "py-modindex.html", "_modules/index.html"}
built = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="`make docs` builds the site")


def listed():
    """Names that the reference has a page for."""
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    for block in re.split(r"\.\. autosummary::\n", text)[1:]:
        yield from re.findall(r"^   ([A-Za-z_][\w.]*)$", block.split("\n\n", 2)[1], re.MULTILINE)


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module):
    pages = [attrgetter(name)(skweiper) for name in all_listed()]
    missing = [
        name
        for name in module.__all__
        if not is_module_or_version(module, name)
        and not any(getattr(module, name) is page for page in pages)
    ]
    assert not missing


@cache
def all_listed():
    """Listed names, their modules imported."""
    names = tuple(listed())
    for name in names:
        if "." in name:
            import_module(f"skweiper.{name.split('.')[0]}")
    return names


def is_module_or_version(module, name):
    return name == "__version__" or type(getattr(module, name)).__name__ == "module"


def test_no_name_is_listed_twice():
    assert len(all_listed()) == len(set(all_listed())) > 80


class Page(HTMLParser):
    """What a page links to, what it can be linked at, and its own text."""

    LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors, self.text = [], [], set(), []
        self._article = self._silent = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        self._article += tag == "article"
        self._silent += tag in ("script", "style")
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        is_hint = tag == "link" and attrs.get("rel") in ("canonical", "next", "prev", "search")
        if attrs.get(self.LOADED.get(tag)) and not is_hint:
            self.loaded.append(attrs[self.LOADED[tag]])

    def handle_endtag(self, tag):
        self._article -= tag == "article"
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if self._article and not self._silent:
            self.text.append(data.strip())


@cache
def page(path):
    return Page(path)


def pages():
    """Built pages by their place in the site."""
    paths = {path.relative_to(SITE).as_posix(): path for path in SITE.rglob("*.html")}
    return {place: page(path) for place, path in paths.items() if not place.startswith("_static/")}


def target(place, link):
    """File and anchor that a link within the site leads to; None for one that leads out."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    here = SITE / place
    path = (here.parent / unquote(parts.path)).resolve() if parts.path else here.resolve()
    return path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def is_broken(place, link):
    """Whether a link leads to no file of the site, or to no place in it."""
    found = target(place, link)
    if found is None:
        return False
    path, anchor = found
    if not path.is_file():
        return True
    # Source pages lead back to the right page, but viewcode knows one public name of a module only.
    has_anchors = path.suffix == ".html" and not place.startswith("_modules/")
    return bool(anchor) and has_anchors and anchor not in page(path).anchors


@built
def test_no_link_within_the_site_leads_nowhere():
    broken = {
        f"{place}: {link}"
        for place, content in pages().items()
        for link in {*content.links, *content.loaded}
        if is_broken(place, link)
    }
    assert not broken, sorted(broken)[:20]


@built
def test_no_page_is_empty():
    short = [
        place
        for place, content in pages().items()
        if place not in NO_ARTICLE and len(" ".join(content.text)) < LEAST_TEXT
    ]
    assert not short
    assert {"index.html", "getting_started.html", "api.html", "gallery/index.html"} <= set(pages())


@built
def test_pages_load_nothing_from_elsewhere():
    loaded = {link for content in pages().values() for link in content.loaded}
    assert not [link for link in loaded if urlsplit(link).netloc]
    assert not any("MathJax" in link or "katex" in link for link in loaded)


@built
def test_no_page_takes_a_name_for_an_address():
    links = {link for content in pages().values() for link in content.links}
    assert not [link for link in links if link.startswith("mailto:")]


@built
def test_formulas_are_drawn_by_the_browser():
    text = (SITE / "how_it_works.html").read_text(encoding="utf-8")
    assert text.count("<math") > 30
    assert "\\frac" not in text


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_site.SITE", tmp_path)
    (tmp_path / "a.html").write_text('<p id="here">text</p>')
    links = ["a.html", "a.html#here", "#here", "https://example.org/x"]
    assert not any(is_broken("a.html", link) for link in links)
    assert is_broken("a.html", "b.html")
    assert is_broken("a.html", "a.html#there")
