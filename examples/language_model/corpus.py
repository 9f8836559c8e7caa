# SPDX-License-Identifier: Apache-2.0
"""English text of Debian packages, for runs that one book is too short for.

    python3 examples/language_model/corpus.py data/english

writes data/english/text.txt, blank lines between documents, and sources.json: each package's version and
digest, and what came of it. Needs Debian (apt-get download; nothing is installed), dpkg-deb and man, and
the King James Bible: apt-get install bible-kjv bible-kjv-text.
"""

import argparse
import dataclasses
import gzip
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from data import BadInput, king_james_bible

LEAST_CHARACTERS = 300  # of a document
LEAST_LETTERS = 0.7  # share of letters and spaces in a line: tables, code and figures have fewer
LONG_LINE = 40  # characters; one that was there before (a licence, a footer) is left out
ENTRIES = 20  # of a dictionary that make a document: neighbours explain each other


@dataclasses.dataclass(frozen=True)
class Source:
    package: str
    files: str  # a pattern of paths in the package
    form: str  # html, text, man, fortune or dictionary
    without: str = "^$"


# Packages that Debian 12 has kept as they were: others (linux-doc, perl-doc, python3-doc) get another
# version with each security update, and results of two days could not be compared.
SOURCES = (
    Source("anarchism", "usr/share/doc/anarchism/html/*.html", "html"),
    Source("debian-handbook", "usr/share/doc/debian-handbook/html/en-US/*.html", "html"),
    Source("debian-policy", "usr/share/doc/debian-policy/**/*.rst.txt", "text"),
    Source("debian-reference-en", "usr/share/debian-reference/*.en.html", "html"),
    Source("developers-reference", "usr/share/developers-reference/**/*.rst.txt", "text"),
    Source("dict-devil", "usr/share/dictd/devil.index", "dictionary"),
    Source("dict-foldoc", "usr/share/dictd/foldoc.index", "dictionary"),
    Source("dict-gcide", "usr/share/dictd/gcide.index", "dictionary"),
    Source("dict-jargon", "usr/share/dictd/jargon.index", "dictionary"),
    Source("dict-wn", "usr/share/dictd/wn.index", "dictionary"),
    Source("fortunes", "usr/share/games/fortunes/*", "fortune", r"\."),
    Source("gimp-help-en", "usr/share/gimp/2.0/help/en/*.html", "html"),
    Source("installation-guide-amd64", "usr/share/doc/installation-guide-amd64/en/*.html", "html"),
    Source("libboost1.74-doc", "usr/share/doc/libboost1.74-doc/doc/html/*.html", "html"),
    Source("manpages", "usr/share/man/man*/*.gz", "man"),
    Source("manpages-dev", "usr/share/man/man*/*.gz", "man"),
    Source("maxima-doc", "usr/share/doc/maxima-doc/html/*.html", "html"),
    Source("octave-doc", "usr/share/doc/octave/octave.html/*.html", "html"),
    Source("rust-doc", "usr/share/doc/rust-doc/html/*/**/*.html", "html",
           "/(alloc|core|proc_macro|std|test|src)/|print.html"),
)


def make(folder, say=lambda line: None):
    """Makes text.txt and sources.json in `folder`, or leaves them as they are; returns their paths."""
    folder = pathlib.Path(folder)
    text, record = folder / "text.txt", folder / "sources.json"
    if text.exists() and record.exists():
        return text, record
    folder.mkdir(parents=True, exist_ok=True)
    for program in ("apt-get", "dpkg-deb", "man"):
        if shutil.which(program) is None:
            raise BadInput(f"{program} is needed, as the text is in Debian's packages")
    documents, sources, seen = [], [], set()

    def add(package, version, digest, found):
        kept = [lines for lines in (_clean(each, seen) for each in found) if lines is not None]
        documents.extend(kept)
        characters = sum(len(line) + 1 for lines in kept for line in lines)
        sources.append({
            "package": package, "version": version, "sha256": digest, "documents": len(kept),
            "characters": characters,
        })  # fmt: skip
        say(f"{package} {version}: {len(kept)} documents, {characters / 1e6:.1f} million characters")

    bible = king_james_bible(folder)
    version = _run("dpkg-query", "--show", "--showformat=${Version}", "bible-kjv-text")
    chapters = [each.splitlines() for each in bible.read_text().split("\n\n")]
    add("bible-kjv-text", version, hashlib.sha256(bible.read_bytes()).hexdigest(), chapters)
    for source in SOURCES:
        with tempfile.TemporaryDirectory(dir=folder, suffix=".tmp") as work:
            version, digest = _unpack(source.package, pathlib.Path(work))
            add(source.package, version, digest, _documents(source, pathlib.Path(work)))
    _write(text, "\n\n".join("\n".join(lines) for lines in documents) + "\n")
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    total = sum(each["characters"] for each in sources)
    made = {"sha256": digest, "documents": len(documents), "characters": total, "sources": sources}
    _write(record, json.dumps(made, indent=1) + "\n")
    return text, record


def _unpack(package, work):
    """(version, digest of the .deb); its files are in `work`."""
    _run("apt-get", "download", package, cwd=work)
    archive = next(work.glob("*.deb"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    version = _run("dpkg-deb", "--field", archive, "Version").strip()
    _run("dpkg-deb", "--extract", archive, work)
    archive.unlink()
    return version, digest


def _documents(source, root):
    """Lists of lines."""
    paths = [path for path in sorted(root.glob(source.files)) if path.is_file() and not path.is_symlink()]
    paths = [path for path in paths if not re.search(source.without, path.relative_to(root).as_posix())]
    if not paths:
        raise BadInput(f"{source.package}: has no {source.files}; its files have moved")
    for path in paths:
        if source.form == "dictionary":
            yield from _dictionary(path)
            continue
        if source.form == "man":
            yield _man(path)
            continue
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")
        if source.form == "html":
            page = _Page()
            page.feed(text)
            yield "".join(page.parts).split("\n")
        elif source.form == "fortune":
            yield text.replace("\n%\n", "\n").split("\n")
        else:
            yield text.split("\n")


def _dictionary(index):
    """dictd's files (RFC 2229's server): headword, offset and length in base 64; a gzip of all."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    value = {digit: i for i, digit in enumerate(digits)}

    def number(word):
        result = 0
        for digit in word:
            result = result * 64 + value[digit]
        return result

    content = gzip.decompress(index.with_suffix(".dict.dz").read_bytes())
    places = set()
    for line in index.read_text(errors="replace").splitlines():
        headword, offset, length = line.split("\t")[:3]
        if not headword.startswith("00"):  # what is about the dictionary itself
            places.add((number(offset), number(length)))
    entries = [content[at : at + length].decode(errors="replace") for at, length in sorted(places)]
    for i in range(0, len(entries), ENTRIES):
        yield [line for entry in entries[i : i + ENTRIES] for line in entry.split("\n")]


def _man(path):
    options = {**os.environ, "MANWIDTH": "1000", "MANROFFOPT": "-c -rHY=0", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run(
        ["man", "--nh", "--nj", "--local-file", "--pager=cat", str(path)], capture_output=True, env=options
    )
    return re.sub(r".\x08|\x1b\[[\d;]*m", "", shown.stdout.decode(errors="replace")).split("\n")


class _Page(html.parser.HTMLParser):
    """The running text of a page."""

    NOT_TEXT = {"script", "style", "nav", "pre", "head", "form", "footer", "header"}
    WITHIN_A_LINE = {
        "a", "abbr", "acronym", "b", "cite", "code", "dfn", "em", "i", "kbd", "q", "samp", "small", "span",
        "strong", "sub", "sup", "tt", "u", "var",
    }  # fmt: skip

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self._edge(tag, 1)

    def handle_endtag(self, tag):
        self._edge(tag, -1)

    def _edge(self, tag, step):
        if tag in self.NOT_TEXT:
            self.hidden = max(0, self.hidden + step)
        if tag not in self.WITHIN_A_LINE:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def _clean(lines, seen):
    """Lines of a document that are text and new; None where that is too little for one."""
    kept = []
    for line in lines:
        line = " ".join(line.split())
        if sum(map(str.isascii, line)) < len(line):
            line = line.translate(PLAIN)
        letters = sum(each.isalpha() or each == " " for each in line if each.isascii())
        if not line or letters < LEAST_LETTERS * len(line):
            continue
        if len(line) >= LONG_LINE:
            digest = hashlib.blake2b(line.encode(), digest_size=8).digest()
            if digest in seen:
                continue
            seen.add(digest)
        kept.append(line)
    return kept if sum(map(len, kept)) >= LEAST_CHARACTERS else None


PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2010": "-",
                       "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00a0": " ", "\u2026": "..."})  # fmt: skip


def _run(*command, cwd=None):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]
        raise BadInput(f"{' '.join(map(str, command[:2]))}: {last}")
    return done.stdout


def _write(path, content):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser(
        prog="corpus.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", help="where the text is to be")
    try:
        text, record = make(parser.parse_args().folder, lambda line: print(line, flush=True))
    except (BadInput, OSError) as error:
        print(f"corpus.py: error: {error}", file=sys.stderr)
        return 2
    made = json.loads(record.read_text())
    print(f"{text}: {made['documents']} documents, {made['characters']} characters, SHA-256 {made['sha256']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
