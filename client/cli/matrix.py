"""The confusion matrix as a picture in the terminal."""

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from client.schemas import Report

# Without colours, a cell is as dense as its share is large.
_SHADES = " ░▒▓█"
_NUMBER_WIDTH = 4
_BRIGHT_TEXT_FROM = 0.45


def draw_matrix(report: Report, console: Console) -> list[Text]:
    """Return the lines of the picture: numbers where they fit, else cells of one column."""
    names = [row.name for row in report.classes]
    label_width = max(map(len, names)) + len(str(len(names))) + 1
    room = console.width - label_width - 1
    cell_width = _NUMBER_WIDTH if room >= _NUMBER_WIDTH * len(names) else 1
    if room < cell_width * len(names):
        return [
            Text(
                f"The matrix has {len(names)} columns, this terminal room for {room}: "
                "widen it, or use --json."
            )
        ]
    lines = [_draw_header(len(names), label_width, cell_width)]
    for number, (name, row) in enumerate(zip(names, report.confusion_matrix, strict=True)):
        label = f"{name} {number}".rjust(label_width)
        line = Text(f"{label} ")
        total = sum(row) or 1
        for column, count in enumerate(row):
            line.append_text(
                _draw_cell(count / total, cell_width, console, is_right=column == number)
            )
        lines.append(line)
    return lines


def _draw_header(columns: int, label_width: int, cell_width: int) -> Text:
    if cell_width < _NUMBER_WIDTH:
        return Text()
    numbers = "".join(str(column).rjust(cell_width) for column in range(columns))
    return Text(" " * (label_width + 1) + numbers)


def _draw_cell(share: float, width: int, console: Console, *, is_right: bool) -> Text:
    number = f"{share * 100:.0f}".rjust(width) if width >= _NUMBER_WIDTH else ""
    if console.color_system is not None and not console.no_color:
        # A colour says what a nought would.
        text = number if share else ""
        return Text(text.rjust(width), style=_choose_style(share, is_right=is_right))
    if not console.is_terminal and number:
        return Text(number)
    shade = _SHADES[min(len(_SHADES) - 1, round(share * (len(_SHADES) - 1) + 0.3))]
    return Text(shade + number[1:] if number else shade)


def _choose_style(share: float, *, is_right: bool) -> Style:
    """Blue for what is right, orange for what is not: told apart by colour-blind people too."""
    strength = share**0.5
    full = (0, 90, 181) if is_right else (200, 80, 0)
    red, green, blue = (round(24 + (channel - 24) * strength) for channel in full)
    text = (
        Color.from_rgb(255, 255, 255)
        if strength > _BRIGHT_TEXT_FROM
        else Color.from_rgb(170, 170, 170)
    )
    return Style(color=text, bgcolor=Color.from_rgb(red, green, blue))
