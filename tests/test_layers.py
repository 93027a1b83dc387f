"""Imports point one way: from pure maths outwards to the command line."""

import ast
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import charrnn

PACKAGE = Path(charrnn.__file__).parent

# Each module may import only those that stand before it. A new module gets its place
# here: as far to the front as what it imports allows.
LAYERS = (
    # words
    "errors",
    "config",
    "recipes",
    # maths: NumPy only
    "arrays",
    "functional",
    "kernels.numpy_writing",
    "kernels.numpy_steps",
    "kernels.numba_maths",
    "kernels.numba_product",
    "kernels.numba_writing",
    "kernels.numba_steps",
    "kernels",
    "cells.contract",
    "cells.initial",
    "cells.projection",
    "cells.rnn",
    "cells.gru",
    "cells.lstm",
    "cells",
    "model",
    "gradcheck",
    "clipping",
    "optimizers",
    "schedules",
    "dropout",
    # text
    "vocab",
    "corpus",
    "batches",
    "ngram",
    "textstats",
    # training
    "parallel",
    "evaluate",
    "scoreboard",
    "plan",
    "speed",
    "records",
    "progress",
    "training",
    "transfer",
    # files
    "files",
    "checkpoint",
    "safetensors",
    "state_dict",
    "exchange",
    "runs",
    # use
    "sampling",
    "language_model",
    "compare",
    "report",
    "library",
    # network
    "fetch",
    "plays",
    "download",
    # command line
    "cli.options",
    "cli.begin",
    "cli.watch",
    "cli.train",
    "cli.sample",
    "cli.compare",
    "cli.next",
    "cli.eval",
    "cli.export",
    "cli.import_",
    "cli.bench",
    "cli.gradcheck",
    "cli.download",
    "cli",
    "__main__",
)
NETWORK = LAYERS.index("fetch")
COMMAND_LINE = LAYERS.index("cli.options")
# Importable only with an optional package.
EXTRAS = {name for name in LAYERS if name.startswith("kernels.numba")}

# What computes and nothing else: no files, no clock, no global generator.
MATHS = [
    name
    for name in LAYERS[: LAYERS.index("dropout") + 1]
    if not name.startswith("kernels")
] + ["kernels.numpy_steps", "kernels.numpy_writing", "batches"]
MATHS_IMPORTS = {"collections", "contextlib", "dataclasses", "math", "numpy", "typing"}


def path_of(name):
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree_of(name):
    return ast.parse(path_of(name).read_text(encoding="utf-8"))


def imports_of(name):
    """Return the full names of all modules imported anywhere in a module."""
    found = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner.removeprefix("charrnn.") in LAYERS
                found.add(inner if is_module else node.module)
    return found


def own_imports_of(name):
    return {
        full.removeprefix("charrnn.")
        for full in imports_of(name)
        if full.startswith("charrnn.")
    }


def loaded_by(code):
    """Return the names of the modules that a fresh interpreter has after `code`."""
    code += (
        "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stderr.splitlines()[-1]))


def test_every_module_has_its_place_in_the_layers():
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
    }
    names = {name.removesuffix(".__init__") for name in found} - {"__init__"}
    assert names == set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))


@pytest.mark.parametrize("name", LAYERS)
def test_module_imports_only_what_lies_further_in(name):
    further_in = set(LAYERS[: LAYERS.index(name)])
    assert own_imports_of(name) <= further_in


def test_package_itself_offers_the_library_and_nothing_else():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    modules = [
        node.module if node.module != "charrnn" else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("charrnn")
    ]
    assert {module.removeprefix("charrnn.") for module in modules} == {"library"}


@pytest.mark.parametrize("name", MATHS)
def test_maths_imports_numpy_and_nothing_that_touches_the_world(name):
    roots = {full.partition(".")[0] for full in imports_of(name)} - {"charrnn"}
    assert roots <= MATHS_IMPORTS


@pytest.mark.parametrize("name", MATHS)
def test_maths_draws_from_no_global_generator(name):
    used = {
        node.attr
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "random"
    }
    assert used <= {"Generator"}


@pytest.mark.parametrize("name", LAYERS[:COMMAND_LINE])
def test_only_the_command_line_prints(name):
    calls = {
        node.func.id
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"print", "input"}


def test_inner_modules_bring_no_click_tqdm_or_requests():
    inner = [name for name in LAYERS[:NETWORK] if name not in EXTRAS]
    loaded = loaded_by("\n".join(f"import charrnn.{name}" for name in inner))
    assert {f"charrnn.{name}" for name in inner} <= loaded
    assert not loaded & {"click", "tqdm", "requests"}


def test_network_modules_bring_no_click():
    network = LAYERS[NETWORK:COMMAND_LINE]
    loaded = loaded_by("\n".join(f"import charrnn.{name}" for name in network))
    assert "requests" in loaded
    assert "click" not in loaded


@pytest.mark.parametrize(
    "code", ["import charrnn", "import charrnn.cli", "import charrnn.config"]
)
def test_importing_the_package_or_its_command_line_brings_no_numpy(code):
    assert not loaded_by(code) & {"numpy", "requests", "tqdm"}


def test_help_of_no_command_waits_for_numpy():
    commands = [
        name.removeprefix("cli.")
        for name in LAYERS
        if name.startswith("cli.")
        and name not in ("cli.options", "cli.begin", "cli.watch")
    ]
    called = [name.rstrip("_") for name in commands]  # `import` is a keyword
    pages = [["--help"], ["--version"], *([name, "--help"] for name in called)]
    loaded = loaded_by(
        f"from charrnn.cli import main\n"
        f"for arguments in {pages}:\n"
        f"    main(arguments, standalone_mode=False)"
    )
    assert {f"charrnn.cli.{name}" for name in commands} <= loaded
    assert not loaded & {"numpy", "requests", "tqdm", "threadpoolctl"}


def test_library_comes_with_the_first_use_of_it():
    loaded = loaded_by("import charrnn\ncharrnn.load")
    assert {"charrnn.library", "numpy"} <= loaded
    assert not loaded & {"click", "tqdm", "requests"}


def test_no_module_is_imported_from_both_sides():
    depends = {name: own_imports_of(name) for name in LAYERS}
    for earlier, later in pairwise(LAYERS):
        assert later not in depends[earlier]
