"""The page: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from .exhibit import Picture, Sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exhibit import Exhibit, Piece

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5a6675; --card: #ffffff; --back: #f2f4f7; --line: #d6dce4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9f0; --soft: #9aa7b6; --card: #1b222b; --back: #11161c; --line: #2e3945; }
}
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
nav { display: flex; flex-wrap: wrap; gap: .4rem .9rem; margin: 1rem 0 1.5rem; }
a { color: inherit; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 1rem 1.25rem; margin: 0 0 1.25rem; }
h1 { margin: 0 0 .25rem; } h2 { margin: 0; font-size: 1.2rem; }
.facts { color: var(--soft); margin: 0 0 .6rem; font-size: .92rem; }
section > div { margin: 0 0 1rem; }
figure { margin: .8rem 0; } figure img { max-width: 100%; background: #fff; border-radius: 6px; display: block; }
figcaption, .about { color: var(--soft); font-size: .92rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--back); border-radius: 6px; }
pre { padding: .6rem .8rem; margin: .3rem 0; }
.given { font-weight: 600; } audio { width: 100%; max-width: 26rem; display: block; }
"""


def page(rooms: Sequence[tuple[str, str, str, Exhibit]], *, footer: str) -> str:
    """The gallery as HTML.

    Args:
        rooms: for each system its name, its task, a line of measured facts, and what it shows.
        footer: how the page was made.
    """
    links = "".join(f'<a href="#{escape(name)}">{escape(task)}</a>' for name, task, _, _ in rooms)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>The zoo of rnnx</title><style>{_STYLE}</style></head><body><main>",
        "<h1>The zoo of rnnx</h1>",
        "<p>What each system does, answered by its exported bundle.</p>",
        f"<nav>{links}</nav>",
    ]
    for name, task, facts, exhibit in rooms:
        parts.append(f'<section id="{escape(name)}"><h2>{escape(task)}</h2>')
        parts.append(f'<p class="facts"><code>{escape(name)}</code> {escape(facts)}</p><p>{escape(exhibit.about)}</p>')
        parts += [_piece(one) for one in exhibit.pieces]
        parts.append("</section>")
    parts.append(f'<p class="about">{escape(footer)}</p></main></body></html>')
    return "\n".join(parts) + "\n"


def _piece(piece: Piece) -> str:
    if isinstance(piece, Picture):
        data = base64.b64encode(piece.png).decode()
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{escape(piece.about)}">'
            f"<figcaption>{escape(piece.about)}</figcaption></figure>"
        )
    if isinstance(piece, Sound):
        data = base64.b64encode(piece.wav).decode()
        return (
            f'<figure><audio controls src="data:audio/wav;base64,{data}"></audio>'
            f"<figcaption>{escape(piece.about)}</figcaption></figure>"
        )
    given = f'<div class="given">{escape(piece.given)}</div>' if piece.given else ""
    about = f'<div class="about">{escape(piece.about)}</div>' if piece.about else ""
    return f"<div>{given}<pre>{escape(piece.answer)}</pre>{about}</div>"
