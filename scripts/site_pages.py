#!/usr/bin/env python3
"""site_pages.py FOLDER: copies the pages of the documentation site together, as mkdocs takes them.

README.md becomes index.md, docs/*.md stay, CONTRIBUTING.md and CHANGELOG.md become pages. A link to another file of the
repository becomes a link to a page with that file's text, which is made here. FOLDER/mkdocs.yml is docs/site/mkdocs.yml
without those entries whose page is not in FOLDER/pages. Exits with 1 where a link or the navigation is wrong.
"""
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".py": "python", ".sh": "sh", ".cmake": "cmake", ".gnuplot": "gnuplot"}
SHOWN_AS_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
FENCED = re.compile(r"(^[ \t]*```.*?^[ \t]*```+[ \t]*$)", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`(?:[^`\n]|\n(?!\n))*`")
problems = []


def page_of(path):
    """The page, relative to pages/, on which the repository's file or folder is shown."""
    if path in SHOWN_AS_PAGES:
        return SHOWN_AS_PAGES[path]
    if path.startswith("docs/images/") or (path.startswith("docs/") and path.count("/") == 1):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"files/{path}/index.md"
    return f"files/{path}.md"


class Site:
    def __init__(self, pages):
        self.pages = pages
        self.wanted = []  # files of the repository that some page links to
        self.made = set()

    def write(self, page, text):
        target = self.pages / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def linked(self, source, page, target):
        """The link `target` of the file `source` as it is on `page`."""
        if "://" in target or target.startswith(("#", "mailto:")):
            return target
        path, hash_mark, heading = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(source), path))
        if not (ROOT / path).exists():
            problems.append(f"{source}: {target} does not exist")
            return target
        there = page_of(path)
        if there.startswith("files/") and path not in self.made:
            self.made.add(path)
            self.wanted.append(path)
        return os.path.relpath(there, os.path.dirname(page) or ".") + hash_mark + heading

    def add_page(self, source):
        page = page_of(source)
        parts = FENCED.split((ROOT / source).read_text(encoding="utf-8"))
        for i in range(0, len(parts), 2):  # the others are blocks of code
            hidden = CODE.sub(lambda code: "\0" * len(code.group()), parts[i])  # a link within code is none
            for link in reversed(list(LINK.finditer(parts[i]))):
                if hidden[link.start()] != "\0":
                    before, after = parts[i][: link.start()], parts[i][link.end() :]
                    parts[i] = before + self.linked(source, page, link.group()) + after
        self.write(page, "".join(parts))

    def add_file(self, path):
        page = page_of(path)
        if (ROOT / path).is_dir():
            names = sorted(entry.name for entry in (ROOT / path).iterdir() if not entry.name.startswith("."))
            items = []
            for name in names:
                items.append(f"- [`{name}`]({self.linked(path + '/_', page, name)})")
            self.write(page, f"# {path}/\n\n" + "\n".join(items) + "\n")
            return
        if path.endswith(".md"):
            self.add_page(path)
            return
        text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
        if len(text) > 200_000:
            text = text[:2000] + "\n…\n"
        fence = "````" if "```" in text else "```"
        language = LANGUAGES.get(Path(path).suffix, "text")
        self.write(page, f"---\nhide: [toc]\n---\n# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n")


def navigation(pages, sources):
    """docs/site/mkdocs.yml for these pages."""
    lines, named = [], set()
    for line in (ROOT / "docs/site/mkdocs.yml").read_text(encoding="utf-8").splitlines():
        entry = re.match(r"\s+- [^:]+: (\S+\.(?:md|html))$", line) or re.match(r"\s+- (\S+\.(?:md|html))$", line)
        if entry:
            named.add(entry.group(1))
            if not (pages / entry.group(1)).exists():
                continue
        lines.append(line.replace("custom_dir: theme", f"custom_dir: {ROOT / 'docs/site/theme'}"))
    for source in sources:
        if page_of(source) not in named:
            problems.append(f"docs/site/mkdocs.yml: its nav lacks {page_of(source)}")
    return "\n".join(lines) + "\ndocs_dir: pages\n"


def main():
    folder = Path(sys.argv[1])
    pages = folder / "pages"
    site = Site(pages)
    sources = list(SHOWN_AS_PAGES) + sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    for source in sources:
        site.add_page(source)
    while site.wanted:
        site.add_file(site.wanted.pop())
    for picture in sorted((ROOT / "docs/images").iterdir()):
        if not any((ROOT / maker).exists() for maker in (f"examples/{picture.stem}.cpp", f"benchmarks/{picture.stem}.gnuplot")):
            problems.append(f"docs/images/{picture.name}: no program of this name draws it")
    shutil.copytree(ROOT / "docs/images", pages / "images", dirs_exist_ok=True)
    for name in ("site.css", "search_without_server.js"):
        shutil.copy(ROOT / "docs/site" / name, pages / name)
    (folder / "mkdocs.yml").write_text(navigation(pages, sources), encoding="utf-8")
    for problem in problems:
        print(f"site_pages.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
