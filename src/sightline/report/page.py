"""A self-contained HTML page from sections of text, figures and tables: no script, no outside resource."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sightline.errors import SightlineError

OUTSIDE = re.compile(
    r'<script|<foreignObject|\son\w+=|(?:href|src)="(?!#|data:image/)|@import|url\((?!["\']?#)', re.IGNORECASE
)  # what an embedded SVG must not hold
SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # browsers load nothing from outside
SHORT = 18  # characters of a cell that is never broken
POINT = 1.75  # CSS pixels of a figure's point: 7-point text is read at 12 pixels


@dataclass(frozen=True)
class Picture:
    """A figure's file (.svg or .png) and caption; `restricted`: it shows what may not be passed on.

    `title` names the dataset, reference or group, and stands above the figure ("": nothing does).
    """

    path: Path
    caption: str
    restricted: bool = False
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table of finished text, in the order of reading; `left` names the columns that hold words."""

    caption: str
    frame: pd.DataFrame
    left: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pre:
    """A text shown as it is (a configuration), folded under `title`."""

    title: str
    text: str


@dataclass(frozen=True)
class Terms:
    """A list of words and what they mean."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Points:
    """Sentences, a point each."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A part of the page: a question, and what answers it; a string is a paragraph."""

    title: str
    question: str
    parts: Sequence[str | Picture | Table | Pre | Terms | Points]


def write(
    title: str,
    question: str,
    answers: Sequence[str],
    sections: Sequence[Section],
    *,
    privacy: str,
    note: str = "",
) -> str:
    """The page as HTML, all text escaped: question, answer and `note`, contents, sections, `privacy`."""
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    names = [f"part-{index}" for index in range(1, len(sections) + 1)]
    contents = "".join(
        f'<li><a href="#{name}">{_text(section.title)}</a></li>' for name, section in zip(names, sections)
    )
    lines = "".join(f"<li>{_text(sentence)}</li>" for sentence in answers)
    remark = f'<p class="note">{_text(note)}</p>' if note else ""
    body = "\n".join(_section(section, name) for section, name in zip(sections, names))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{SAFE}">
<title>{_text(title)}</title>
<style>
{css}</style>
</head>
<body>
<header>
<p class="study">{_text(title)}</p>
<h1>{_text(question)}</h1>
<div class="answer"><ul>{lines}</ul>{remark}</div>
<p class="privacy">{_text(privacy)}</p>
</header>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<main>
{body}
</main>
<footer><p>{_text(privacy)}</p><p>Made by Sightline.</p></footer>
</body>
</html>
"""


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _section(section: Section, name: str) -> str:
    parts = "\n".join(_part(part, f"{name}-{index}") for index, part in enumerate(section.parts))
    question = f'<p class="question">{_text(section.question)}</p>' if section.question else ""
    return f'<section id="{name}">\n<h2>{_text(section.title)}</h2>\n{question}\n{parts}\n</section>'


def _part(part: str | Picture | Table | Pre | Terms | Points, name: str) -> str:
    if isinstance(part, Picture):
        drawn = f'<div class="scroll" tabindex="0">{embedded(part.path, name, part.caption)}</div>'
        head = f"<h3>{_text(part.title)}</h3>" if part.title else ""
        return f"<figure>{head}{drawn}<figcaption>{_text(part.caption)}</figcaption></figure>"
    if isinstance(part, Table):
        return table(part)
    if isinstance(part, Points):
        return "<ul>" + "".join(f"<li>{_text(sentence)}</li>" for sentence in part.sentences) + "</ul>"
    if isinstance(part, Pre):
        return f"<details><summary>{_text(part.title)}</summary><pre>{_text(part.text)}</pre></details>"
    if isinstance(part, Terms):
        return (
            "<dl>"
            + "".join(f"<dt>{_text(word)}</dt><dd>{_text(text)}</dd>" for word, text in part.items)
            + "</dl>"
        )
    return f"<p>{_text(part)}</p>"


def table(part: Table) -> str:
    """A table as HTML: words left, numbers right, wide ones scroll; an empty one says so."""
    caption = f"<p class='caption'>{_text(part.caption)}</p>"
    if part.frame.empty:
        return f'<div class="table">{caption}<p class="none">None.</p></div>'
    sides = ["left" if column in part.left else "right" for column in part.frame.columns]
    head = "".join(
        f'<th class="{side}" scope="col">{_text(column)}</th>' for side, column in zip(sides, part.frame)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(cell, side) for side, cell in zip(sides, row)) + "</tr>\n"
        for row in part.frame.itertuples(index=False)
    )
    return (
        f'<div class="table">{caption}<div class="scroll" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div></div>"
    )


def _cell(cell: object, side: str) -> str:
    kind = f"{side} short" if len(str(cell)) <= SHORT else side
    text = _text(cell)
    if side == "right":  # a number and its interval may take a line each
        text = re.sub(r"(?<=,) |(?<=×) | (?=×)", "\N{NO-BREAK SPACE}", text)
    return f'<td class="{kind}">{text}</td>'


def embedded(path: Path, name: str, title: str = "") -> str:
    """A figure file as HTML: SVG in place (its text stays text, its ids start with `name`), PNG as data.

    Raises `SightlineError` for another kind of file, or an SVG that holds a script or an outside resource.
    """
    if path.suffix == ".png":
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" alt="{_text(title)}">'
    if path.suffix != ".svg":
        raise SightlineError(f"{path}: a page holds .svg or .png figures; save the figure as one of them")
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :], flags=re.S)
    outside = OUTSIDE.search(text)
    if outside:
        raise SightlineError(
            f"{path}: a page embeds no script and no outside resource, found {outside.group(0)!r}"
        )
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    width = (
        float(re.search(r'width="([\d.]+)pt"', text).group(1))
        if re.search(r'width="[\d.]+pt"', text)
        else 518.0
    )
    return re.sub(
        r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>",
        rf'<svg \1 xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{_label(title)}" '
        rf'style="width:min(100%,{width * POINT:.0f}px)">',
        text,
        count=1,
    )


def _label(title: str) -> str:
    """A figure's spoken name: the question at the start of its caption, safe inside a replacement."""
    return _text(title.split("?")[0] + "?" if "?" in title else title[:120]).replace("\\", "")
