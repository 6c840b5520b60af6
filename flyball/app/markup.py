"""HTML built from trees instead of glued text: what is not markup of ours is escaped, always."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from flyball.app.look import Look

_VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "col", "wbr"})
_PLAIN = Look()


class Markup(str):
    """Text that is HTML already; only this module makes it."""

    __slots__ = ()


Content: TypeAlias = "str | Markup | Iterable[Content] | None"


def text(content: str) -> Markup:
    """The text as HTML shows it: no tag, no quote, no control or bidirectional character, no lone surrogate."""
    return Markup(escape(_PLAIN.clean(content), quote=True))


def lines(content: str) -> Markup:
    """The text with its line breaks kept, for inside <pre>."""
    return Markup("\n".join(text(line) for line in content.split("\n")))


def tag(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """One element. `class_` is class, `_` in a name is `-`; an attribute that is None is left out."""
    written = "".join(
        f' {_attribute(key)}="{text(value if isinstance(value, str) else f"{value:g}")}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Content) -> Markup:
    """Contents one after another; None is nothing."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return text(content)
    return Markup("".join(join(part) for part in content))


def asset(source: str) -> Markup:
    """Our own style sheet or script, for inside <style> or <script>; it must not end that element."""
    if "</" in source:
        raise ValueError("an asset must not hold an end tag")
    return Markup(source)


def _attribute(key: str) -> str:
    # SVG's own mixed-case and colon-free names are written as they are.
    return _SVG_NAMES.get(key, key.rstrip("_").replace("_", "-"))


_SVG_NAMES = {"view_box": "viewBox", "keep_ratio": "preserveAspectRatio"}
