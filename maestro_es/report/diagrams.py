"""Writes a diagram as SVG, for Graphviz (DOT) and for Mermaid. `maestro_es.audit.diagram` makes the diagram."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from maestro_es.audit.diagram import Diagram, Node
from maestro_es.report.diagram_layout import LONGEST_NAME, Box, Layout, lay_out
from maestro_es.report.glance import shortened
from maestro_es.report.palette import MARKS, class_of, in_order, shown, worst
from maestro_es.report.table import clean, counted

if TYPE_CHECKING:
    from jinja2 import Environment

#: The height of the bar with the states of a node, and its distance from the edges of the node.
_BAR_HEIGHT, _BAR_MARGIN = 8, 12


def svg(diagram: Diagram) -> str:
    """Return a picture. It needs no other file."""
    return (
        templates().get_template("diagram.svg").render(**drawn(diagram), marks=MARKS, class_of=class_of, is_alone=True)
        + "\n"
    )


def templates() -> Environment:
    """Return the templates of pictures and pages. They escape all values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - not needed for DOT and Mermaid

    return Environment(loader=PackageLoader("maestro_es.report", "page"), autoescape=True, undefined=StrictUndefined)


def drawn(diagram: Diagram) -> dict[str, Any]:
    """Return the values that the template of a picture draws."""
    layout = lay_out([node.name for node in diagram.nodes], [(edge.parent, edge.child) for edge in diagram.edges])
    title = f"The steps of {clean(diagram.name) or 'the study'}"
    return {
        "title": title,
        "width": round(layout.width),
        "height": round(layout.height),
        "nodes": [_drawn_node(node, layout, of_steps=diagram.of_steps) for node in diagram.nodes],
        "edges": [
            {"path": layout.paths[edge.parent, edge.child], "all": edge.all_steps}
            for edge in diagram.edges
            if edge.parent != edge.child
        ],
    }


def _drawn_node(node: Node, layout: Layout, *, of_steps: bool) -> dict[str, Any]:
    box = layout.boxes[node.name]
    states = next(iter(node.kinds), "") if of_steps else shown(node.kinds)
    return {
        "name": node.name,
        "label": shortened(clean(node.name), LONGEST_NAME).rstrip(),
        "title": ": ".join(filter(None, (clean(node.name), states))),
        "text": states if of_steps else counted(node.steps, "step"),
        "box": box,
        "bar": list(_bar(node, box)),
    }


def _bar(node: Node, box: Box) -> Iterator[dict[str, Any]]:
    """Yield the parts of the bar with the states of a node. Each part is at least two pixels wide."""
    kinds = in_order(node.kinds)
    room = box.width - 2 * _BAR_MARGIN - 2 * len(kinds)
    x = box.x + _BAR_MARGIN
    for kind, count in kinds.items():
        size = 2 + room * count / node.steps
        y = box.y + box.height - _BAR_HEIGHT - _BAR_MARGIN / 2
        yield {"kind": class_of(kind), "x": round(x, 1), "y": y, "width": round(size, 1), "height": _BAR_HEIGHT}
        x += size


def dot(diagram: Diagram) -> str:
    """Return a diagram for Graphviz."""
    lines = [f"digraph {_quoted(diagram.name)} {{", "    rankdir=LR", '    node [shape=box, style="filled,rounded"]']
    for node in diagram.nodes:
        mark = MARKS[worst(node.kinds)]
        text = _label(node, "\n", of_steps=diagram.of_steps)
        label = json.dumps(text.replace("&", "&amp;"), ensure_ascii=False)
        lines.append(
            f'    {_quoted(node.name)} [label={label}, fillcolor="{mark.light}", fontcolor="{mark.on_light}"]'
        )
    for edge in diagram.edges:
        style = " [style=bold]" if edge.all_steps else ""
        lines.append(f"    {_quoted(edge.parent)} -> {_quoted(edge.child)}{style}")
    return "\n".join([*lines, "}", ""])


def mermaid(diagram: Diagram) -> str:
    """Return a diagram for Mermaid, which GitHub and GitLab render in Markdown."""
    numbers = {node.name: f"n{number}" for number, node in enumerate(diagram.nodes)}
    lines = ["flowchart LR"]
    for node in diagram.nodes:
        label = "".join(map(_mermaid_character, _label(node, "\n", of_steps=diagram.of_steps)))
        lines.append(f'    {numbers[node.name]}["{label}"]:::{class_of(worst(node.kinds))}')
    for edge in diagram.edges:
        lines.append(f"    {numbers[edge.parent]} {'==>' if edge.all_steps else '-->'} {numbers[edge.child]}")
    for kind in sorted({worst(node.kinds) for node in diagram.nodes}):
        mark = MARKS[kind]
        lines.append(f"    classDef {class_of(kind)} fill:{mark.light},color:{mark.on_light},stroke:#555555")
    return "\n".join([*lines, ""])


#: The writers by the name of their format, which is also the extension of its files.
FORMATS: dict[str, Callable[[Diagram], str]] = {"svg": svg, "dot": dot, "mermaid": mermaid}

#: Other extensions of files in these formats.
ENDINGS = {"gv": "dot", "mmd": "mermaid"}


def _label(node: Node, separator: str, *, of_steps: bool) -> str:
    name = clean(node.name)
    if of_steps:
        return separator.join([name, *node.kinds])
    return separator.join(filter(None, (name, counted(node.steps, "step"), shown(node.kinds))))


def _quoted(text: str) -> str:
    """Return text as a string of DOT. The escapes are the same as in JSON.

    Names are not cleaned, so that they stay unique.
    """
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _mermaid_character(character: str) -> str:
    """Return a character as Mermaid needs it: special characters are given by their numbers."""
    if character == "\n":
        return "<br/>"
    is_plain = character.isalnum() or character in " ._-,:"
    return character if is_plain else f"#{ord(character)};"
