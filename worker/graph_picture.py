"""An autograd graph as an SVG picture, readable on light and dark pages."""

from collections import Counter
from graphlib import TopologicalSorter
from typing import Any
from xml.sax.saxutils import escape

_BOX_WIDTH, _BOX_HEIGHT = 172, 40
_GAP_ACROSS, _GAP_DOWN = 20, 28
_MARGIN = 24
_TITLE_HEIGHT = 36

# Both schemes keep a contrast of 7:1 and more between text and box.
_STYLE = """
svg { color-scheme: light dark; --page: #ffffff; --ink: #1c2430; --line: #7b8798;
  --box: #eef2f7; --leaf: #e3f3e6; }
@media (prefers-color-scheme: dark) {
  svg { --page: #14181f; --ink: #e6ebf2; --line: #8b97a8; --box: #232b37; --leaf: #1d3b2a; } }
text { font: 12px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; }
rect { stroke: var(--line); rx: 6px; fill: var(--box); }
.page { fill: var(--page); stroke: none; }
.leaf { fill: var(--leaf); }
path { stroke: var(--line); stroke-width: 1.4; fill: none; marker-end: url(#arrow); }
marker path { fill: var(--line); stroke: none; marker-end: none; }
"""

_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" role="img"
  viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>{title}</title>
<style>{style}</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
  orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>
<rect class="page" width="100%" height="100%"/>
<text class="title" x="{middle}" y="30">{title}</text>
{shapes}
</svg>
"""

Position = tuple[float, float]


def draw(graph: dict[str, Any], *, title: str) -> str:
    """Return the SVG of a graph `{"nodes": [...], "edges": [...]}` without cycles.

    Rows follow the way of the gradient from the loss (top) to the parameters (green).
    """
    positions = _place(graph)
    width = max(x for x, _ in positions.values()) + _BOX_WIDTH / 2 + _MARGIN
    height = max(y for _, y in positions.values()) + _BOX_HEIGHT / 2 + _MARGIN
    shapes = [_draw_edge(positions[edge["from"]], positions[edge["to"]]) for edge in graph["edges"]]
    shapes += [_draw_node(node, positions[node["id"]]) for node in graph["nodes"]]
    return _PICTURE.format(
        width=f"{width:g}",
        height=f"{height:g}",
        middle=f"{width / 2:g}",
        title=escape(title),
        style=_STYLE,
        shapes="\n".join(shapes),
    )


def _place(graph: dict[str, Any]) -> dict[int, Position]:
    """Return the centre of every node's box.

    A node's row is the longest way from the loss to it. Within a row the node with the longest
    way still to go comes first, so the chain of layers is a straight line on the left.
    """
    children: dict[int, list[int]] = {node["id"]: [] for node in graph["nodes"]}
    parents: dict[int, list[int]] = {node["id"]: [] for node in graph["nodes"]}
    for edge in graph["edges"]:
        children[edge["from"]].append(edge["to"])
        parents[edge["to"]].append(edge["from"])
    come, to_go = _longest_ways(parents), _longest_ways(children)
    columns = Counter[int]()
    positions: dict[int, Position] = {}
    for node in sorted(come, key=lambda node: (-to_go[node], node)):
        row = come[node]
        x = _MARGIN + _BOX_WIDTH / 2 + columns[row] * (_BOX_WIDTH + _GAP_ACROSS)
        y = _MARGIN + _TITLE_HEIGHT + _BOX_HEIGHT / 2 + row * (_BOX_HEIGHT + _GAP_DOWN)
        positions[node] = (x, y)
        columns[row] += 1
    return positions


def _longest_ways(before: dict[int, list[int]]) -> dict[int, int]:
    """Return for every node the number of edges on the longest way that leads to it."""
    ways: dict[int, int] = {}
    for node in TopologicalSorter(before).static_order():
        ways[node] = max((ways[earlier] + 1 for earlier in before[node]), default=0)
    return ways


def _draw_node(node: dict[str, Any], centre: Position) -> str:
    x, y = centre
    is_leaf = "parameter" in node
    box = (
        f'<rect class="{"leaf" if is_leaf else "box"}" x="{x - _BOX_WIDTH / 2:g}" '
        f'y="{y - _BOX_HEIGHT / 2:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}"/>'
    )
    if not is_leaf:
        return f'{box}<text x="{x:g}" y="{y + 4:g}">{escape(_shorten(node["function"]))}</text>'
    shape = " x ".join(map(str, node["shape"]))
    return (
        f'{box}<text x="{x:g}" y="{y - 3:g}">{escape(node["parameter"])}</text>'
        f'<text class="small" x="{x:g}" y="{y + 12:g}">{shape}</text>'
    )


def _shorten(function: str) -> str:
    """`MaxPool2DWithIndicesBackward0` fits its box without the counter of overloads."""
    return function.rsplit("::", 1)[-1].removesuffix("0").replace("WithIndices", "")


def _draw_edge(start: Position, end: Position) -> str:
    x1, y1 = start[0], start[1] + _BOX_HEIGHT / 2
    x2, y2 = end[0], end[1] - _BOX_HEIGHT / 2
    bend = (y2 - y1) * 0.6
    return f'<path d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"/>'
