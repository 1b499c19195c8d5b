"""A rendered page, taken apart for the tests."""

from __future__ import annotations

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """A parsed page: its tags, the JSON of its figures, its code, and its text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.figures, self.code, self.words, self._in = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self._in = "json" if attrs.get("type") == "application/json" else tag

    def handle_endtag(self, _):
        self._in = ""

    def handle_data(self, data):
        if self._in == "json":
            self.figures.append(json.loads(data))
        elif self._in in ("script", "style"):
            self.code.append(data)
        else:
            self.words.append(data)

    @property
    def text(self):
        return plain(" ".join(" ".join(self.words).split()))

    def headings(self, sections):
        """Those of ``sections`` that the page has, in its order."""
        return [word for word in self.words if word in sections]


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
