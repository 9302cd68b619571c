#!/usr/bin/env python3
"""check_site.py FOLDER: are all links, anchors and images of a built site there, and is nothing loaded from outside?

Reads each *.html and *.css below FOLDER and names each fault with its page:
  a link to a file that is not there, or to the site's root, which a page opened as a file does not have;
  a link to an anchor that its page does not have, an id that a page has twice;
  a picture that is not there, or that has no text for those who cannot see it;
  a script, style sheet, picture, font or frame that comes from another address.
Exits with 1 if there is one. check_site.py --self-test tries it on a made-up site that has each of them.
"""
import re
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself: (element, attribute).
LOADED = {
    ("link", "href"), ("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"),
    ("iframe", "src"), ("frame", "src"), ("embed", "src"), ("object", "data"), ("audio", "src"), ("video", "src"),
    ("video", "poster"), ("track", "src"), ("input", "src"), ("image", "href"), ("use", "href"),
}  # fmt: skip
STYLE_ADDRESS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


def style_addresses(text):
    return [first or second for first, second in STYLE_ADDRESS.findall(text)]


def is_outside(address):
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ftp", "ws", "wss")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.anchors, self.twice, self.links, self.loads, self.faults = set(), set(), [], [], []
        self.in_style = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.in_style = tag == "style"
        found = dict(attributes)
        for name in ("id", "name") if tag == "a" else ("id",):
            anchor = found.get(name)
            if anchor and anchor in self.anchors and name == "id":
                self.twice.add(anchor)
            if anchor:
                self.anchors.add(anchor)
        if tag == "img" and not (found.get("alt") or "").strip() and found.get("aria-hidden") != "true":
            self.faults.append(f"the picture {found.get('src')} has no text (alt)")
        if "mermaid" in (found.get("class") or "").split():
            self.faults.append("a diagram in mermaid, for which the theme would load a script from outside")
        for name, value in attributes:
            if not value:
                continue
            if name == "style":
                self.loads += style_addresses(value)
            elif (tag, name) in LOADED:
                if tag == "link" and found.get("rel") in ("canonical", "next", "prev"):
                    continue
                self.loads += [part.split()[0] for part in value.split(",")] if name == "srcset" else [value]
            elif name == "href":
                self.links.append(value)

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.in_style:
            self.loads += style_addresses(data)

    def handle_endtag(self, tag):
        self.in_style = False


def target_of(page, address, root):
    """The file that `address` on `page` names and its anchor; None for what is no file of the site."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    path = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    if path.is_dir():
        path = path / "index.html"
    return path, unquote(parts.fragment)


def faults_of(root):
    root = Path(root).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8", errors="replace")) for path in sorted(root.rglob("*.html"))}
    faults, outside_links = [], 0

    def fault(path, text):
        faults.append(f"{path.relative_to(root)}: {text}")

    def check_file(path, address, what):
        target = target_of(path, address, root)
        if target is None:
            return
        if address.startswith("/"):
            fault(path, f"{what} {address} begins at the root, which a page opened as a file does not have")
        elif not target[0].is_file():
            fault(path, f"{what} {address} is not there")
        elif root not in target[0].parents:
            fault(path, f"{what} {address} is outside the site")
        elif target[1] and target[0] in pages and target[1] not in pages[target[0]].anchors:
            fault(path, f"{what} {address}: the page has no such anchor")

    for path, page in pages.items():
        for text in page.faults:
            fault(path, text)
        for anchor in sorted(page.twice):
            fault(path, f"the id {anchor} is there twice")
        for address in page.links:
            outside_links += is_outside(address)
            check_file(path, address, "link")
        for address in page.loads:
            if is_outside(address):
                fault(path, f"{address} is loaded from outside")
            else:
                check_file(path, address.partition("#")[0] or address, "file")
    for path in sorted(root.rglob("*.css")):
        for address in style_addresses(path.read_text(encoding="utf-8", errors="replace")):
            if is_outside(address):
                fault(path, f"{address} is loaded from outside")
            else:
                check_file(path, address.partition("#")[0], "file")
    return faults, f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links ({outside_links} outside)"


def self_test():
    faulty = {
        "link missing.html is not there": '<a href="missing.html">a</a>',
        "link /b.html begins at the root": '<a href="/b.html">a</a>',
        "link b.html#none: the page has no such anchor": '<a href="b.html#none">a</a>',
        "link #none: the page has no such anchor": '<a href="#none">a</a>',
        "the id x is there twice": '<p id="x"></p><p id="x"></p>',
        "file none.png is not there": '<img src="none.png" alt="a">',
        "the picture b.png has no text": '<img src="b.png">',
        "https://a.b/c.js is loaded from outside": '<script src="https://a.b/c.js"></script>',
        "//a.b/c.css is loaded from outside": '<link rel="stylesheet" href="//a.b/c.css">',
        "https://a.b/d.png is loaded from outside": '<p style="background: url(https://a.b/d.png)"></p>',
        "https://a.b/e.css is loaded from outside": '<style>@import "https://a.b/e.css";</style>',
        "in mermaid": '<div class="mermaid">a</div>',
        "link ../c.html is not there": '<a href="../c.html">a</a>',
    }
    sound = '<a href="b.html#there">a</a><a href="https://a.b">b</a><img src="b.png" alt="b"><a href="#up" id="up">c</a>'
    failures = []
    for expected, body in [*faulty.items(), (None, sound)]:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.html").write_text(body)
            Path(folder, "b.html").write_text('<h1 id="there">b</h1>')
            Path(folder, "b.png").write_text("")
            found = faults_of(folder)[0]
        if (expected is None and found) or (expected and (len(found) != 1 or expected not in found[0])):
            failures.append(f"{body}: {found}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.css").write_text("@font-face { src: url('https://a.b/f.woff') }")
        if len(faults_of(folder)[0]) != 1:
            failures.append("a font from outside in a style sheet")
    return failures, "the checks find what they should"


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    faults, summary = self_test() if sys.argv[1] == "--self-test" else faults_of(sys.argv[1])
    for text in faults:
        print(f"check_site.py: {text}", file=sys.stderr)
    if not faults:
        print(f"check_site.py: {summary}: no fault")
    return 1 if faults else 0


sys.exit(main())
