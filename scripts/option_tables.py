"""Print the options of `charrnn train` and other commands as Markdown tables."""

import importlib

from charrnn.cli.options import option_rows


def option_table(name: str) -> str:
    """Return the options of a command as a Markdown table."""
    command = importlib.import_module(f"charrnn.cli.{name}").command
    lines = [f"| `{name}` | default | |", "|---|---|---|"]
    for flags, default, text in option_rows(command):
        escaped = flags.replace("|", r"\|")  # it would end the cell
        lines.append(f"| `{escaped}` | {default} | {text} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join(map(option_table, ("train", "sample", "serve", "neurons"))))
