"""Google docstrings as Markdown: paragraphs stay, sections become lists."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_SECTION = re.compile(r"^(Args|Attributes|Raises):$")
_ITEM = re.compile(r"^    (\w+): (.*)$")
_TITLES = {"Args": "", "Attributes": "Attributes:\n\n", "Raises": "Raises:\n\n"}


def markdown_of(documented: object, *, without: Collection[str] = ()) -> str:
    """The docstring of a class, function or property, `without` some of its sections."""
    lines = (inspect.getdoc(documented) or "").splitlines()
    parts: list[str] = []
    text: list[str] = []
    while lines:
        line = lines.pop(0)
        section = _SECTION.match(line)
        if section is None:
            text.append(line)
            continue
        body: list[str] = []
        while lines and (not lines[0] or lines[0].startswith("    ")):
            body.append(lines.pop(0))
        if section[1] not in without:
            parts += ["\n".join(text).strip(), _TITLES[section[1]] + _listed(body)]
        else:
            parts.append("\n".join(text).strip())
        text = []
    parts.append("\n".join(text).strip())
    return "\n\n".join(part for part in parts if part)


def attribute_docs(documented: type) -> dict[str, str]:
    """The texts that stand below attributes of a class, as one line each."""
    (body,) = ast.parse(inspect.getsource(documented)).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _listed(body: Sequence[str]) -> str:
    items: list[str] = []
    for line in body:
        item = _ITEM.match(line)
        if item:
            items.append(f"- `{item[1]}`: {item[2]}")
        elif line.strip():
            items[-1] += f" {line.strip()}"
    return "\n".join(items)
