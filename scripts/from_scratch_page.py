"""Run examples/from_scratch.ipynb and write it, with its output, as a page.

    python scripts/from_scratch_page.py "2 cores of an AMD EPYC, Python 3.11, NumPy 2.4"

The argument names the machine, because the page reports speeds. Needs nbclient and
ipykernel. The notebook itself is stored without outputs.
"""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "from_scratch.ipynb"
PAGE = ROOT / "docs" / "from-scratch.md"
NOTE = (
    "<!-- Made from examples/from_scratch.ipynb by scripts/from_scratch_page.py; "
    "edit the notebook. -->\n\n"
)


def cell_text(cell: dict) -> str:
    """Return a cell as Markdown, without its output."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return f"{source}\n\n"
    return f"```python\n{source}\n```\n\n"


def output_text(cell: dict) -> str:
    """Return what a cell printed as Markdown, or '' if it printed nothing."""
    outputs = cell.get("outputs", [])
    for output in outputs:
        if output.get("name") != "stdout":
            raise ValueError(f"cell {cell['id']}: expected printed text, got {output}")
    printed = "".join(output["text"] for output in outputs).rstrip()
    return f"```text\n{printed}\n```\n\n" if printed else ""


def main() -> None:
    import nbformat
    from nbclient import NotebookClient

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("machine")
    args = parser.parse_args()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    parts = [cell_text(cell) + output_text(cell) for cell in notebook.cells]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(
        f"{NOTE}{''.join(parts)}*Times and speeds: {args.machine}.*\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
