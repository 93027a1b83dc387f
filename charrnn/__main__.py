"""`python -m charrnn` does what `charrnn` does."""

from charrnn.cli import main

main(prog_name="charrnn")
