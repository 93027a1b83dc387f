"""The command `charrnn`, which `python -m charrnn` runs as well."""


def run() -> None:
    """Run the command. Ctrl-C ends it quietly, even before it is loaded."""
    try:
        from charrnn.cli import main

        main(prog_name="charrnn")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
