"""Print the oldest versions of the dependencies that setup.cfg allows, for pip.

Those that the tests need as well are printed too, without a version.
"""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("fast", "zst", "plot", "tensorboard", "web")
TESTS = ("pytest>=8", "pytest-xdist>=3", "hypothesis>=6.100")
# Newer ones warn about what the oldest matplotlib calls.
OTHERS = ("pyparsing<3.3",)


def oldest(setup: str) -> list[str]:
    """Return the lower bounds in the text of a setup.cfg as exact requirements."""
    config = configparser.ConfigParser()
    config.read_string(setup)
    extras = config["options.extras_require"]
    lines = config["options"]["install_requires"]
    lines += "".join(extras.get(name, "") for name in EXTRAS)
    return [_exact(line) for line in lines.split("\n") if line]


def _exact(line: str) -> str:
    return line.partition(",")[0].replace(">=", "==")


if __name__ == "__main__":
    bounds = oldest((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    print("\n".join([*bounds, *TESTS, *OTHERS]))
