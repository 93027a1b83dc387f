"""The architecture: folders in the order of the data flow, imports one way only."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import charrnn

PACKAGE = Path(charrnn.__file__).parent

# The folders and the modules of the package itself, in the order in which data passes
# through them. Each may import only from itself and from those before it.
ORDER = (
    "errors",
    "shell",
    "machine",
    "exchange",
    "ranks",
    "option",
    "config",
    "presets",
    "atomic",
    "strict_json",
    "nn",
    "text",
    "markup",
    "evaluation",
    "training",
    "storage",
    "generation",
    "views",
    "run",
    "interactive",
    "api",
    "cli",
    "__main__",
)
# What each part may load from outside the standard library.
MATHS = {"numpy"}
LIBRARIES = {
    "errors": set(),
    "option": set(),
    "shell": set(),
    "machine": {"numpy"},
    "exchange": {"numpy"},
    "ranks": {"numpy", "mpi4py"},
    "config": set(),
    "presets": set(),
    "atomic": {"filelock"},
    "strict_json": set(),
    "nn": MATHS | {"threadpoolctl", "numba", "llvmlite"},
    "text": MATHS
    | {"charset_normalizer", "requests", "tqdm", "urllib3"}
    | {"compression", "zstandard", "platformdirs"},
    "markup": set(),
    "evaluation": MATHS,
    "training": MATHS,
    "storage": MATHS | {"safetensors"},
    "generation": MATHS,
    "views": MATHS
    | {"wcwidth", "matplotlib", "plotext", "tensorboardX"}
    | {"starlette", "uvicorn"},
    "run": MATHS,
    "interactive": {"tqdm", "IPython"},
    "api": MATHS,
    "cli": MATHS | {"click", "tqdm", "wcwidth"},
    "__main__": set(),
}
# The mathematics reads no file, no clock and no environment.
PURE = {
    "collections",
    "concurrent",
    "contextlib",
    "dataclasses",
    "functools",
    "importlib",
    "itertools",
    "math",
    "typing",
}
COMPILED = "nn.compiled"
# They need an extra as soon as they are imported.
EXTRAS = ("views.plots", "views.event_files")
# The server, whose libraries are an extra and load click.
PLAYGROUND = "views.playground"


def modules():
    """Return the paths of all modules by their names without `charrnn.`."""
    paths = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            paths[name] = path
    return paths


MODULES = modules()
# Compiled code is cached in files, and the workers limit the threads of BLAS.
PURE_MODULES = [
    name
    for name in MODULES
    if name.startswith("nn.") and not name.startswith((COMPILED, "nn.workers"))
]


def part_of(name):
    return name.partition(".")[0]


def tree_of(name):
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


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
                found.add(
                    inner if inner.removeprefix("charrnn.") in MODULES else node.module
                )
    return found


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


def test_every_folder_has_its_place():
    assert {part_of(name) for name in MODULES} == set(ORDER) == set(LIBRARIES)


@pytest.mark.parametrize("name", sorted({*MODULES} - {"shell"}))
def test_advice_is_quoted_for_every_system(name):
    assert not {full for full in imports_of(name) if full.startswith("shlex")}


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_nothing_further_out(name):
    allowed = ORDER[: ORDER.index(part_of(name)) + 1]
    own = {
        full.removeprefix("charrnn.")
        for full in imports_of(name)
        if full.startswith("charrnn.")
    }
    assert {part_of(inner) for inner in own} <= set(allowed)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_the_libraries_of_its_folder(name):
    roots = {full.partition(".")[0] for full in imports_of(name)} - {"charrnn"}
    assert roots - set(sys.stdlib_module_names) <= LIBRARIES[part_of(name)]


def test_no_two_modules_of_the_package_import_each_other():
    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for full in imports_of(name):
                inner = full.removeprefix("charrnn.")
                if full.startswith("charrnn.") and inner in MODULES:
                    visit(inner, [*trail, name])
            done.add(name)

    done = set()
    for name in MODULES:
        visit(name, [])


def test_package_itself_imports_only_its_api():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("charrnn.")
    }
    assert {part_of(name.removeprefix("charrnn.")) for name in imported} <= {
        "api",
        "errors",
        "evaluation",
        "generation",
        "training",
        "views",
    }


@pytest.mark.parametrize("name", PURE_MODULES)
def test_mathematics_touches_no_file_and_no_clock(name):
    roots = {full.partition(".")[0] for full in imports_of(name)} - {"charrnn"}
    assert roots <= PURE | MATHS


@pytest.mark.parametrize("name", MODULES)
def test_no_module_draws_from_the_global_generator(name):
    used = {
        node.attr
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "random"
    }
    assert used <= {"Generator", "SeedSequence", "default_rng"}


@pytest.mark.parametrize("name", [n for n in MODULES if part_of(n) != "cli"])
def test_only_the_command_line_prints(name):
    calls = {
        node.func.id
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"print", "input"}


def test_inner_folders_load_no_click_tqdm_or_requests():
    inner = [
        name
        for name in MODULES
        if part_of(name) not in ("cli", "__main__")
        and not name.startswith((COMPILED, "text.download", *EXTRAS, PLAYGROUND))
    ]
    loaded = loaded_by("\n".join(f"import charrnn.{name}" for name in inner))
    assert {f"charrnn.{name}" for name in inner} <= loaded
    assert not loaded & {"click", "tqdm", "requests"}


def test_downloading_loads_no_click():
    loaded = loaded_by("import charrnn.text.download.registry")
    assert "requests" in loaded
    assert "click" not in loaded


@pytest.mark.parametrize(
    "code", ["import charrnn", "import charrnn.cli", "import charrnn.config"]
)
def test_importing_the_package_or_its_command_line_loads_no_numpy(code):
    assert not loaded_by(code) & {"numpy", "requests", "tqdm"}


def test_help_of_every_command_loads_no_numpy():
    pages = [["--help"], ["--version"]]
    loaded = loaded_by(
        "from charrnn.cli import COMMANDS, main\n"
        f"pages = {pages} + [[name, '--help'] for name in COMMANDS]\n"
        "for arguments in pages:\n"
        "    main(arguments, standalone_mode=False)"
    )
    assert "charrnn.cli.train" in loaded
    assert not loaded & {"numpy", "requests", "tqdm", "threadpoolctl"}


def test_the_library_comes_with_its_first_use():
    loaded = loaded_by("import charrnn\ncharrnn.load")
    assert {"charrnn.api", "numpy"} <= loaded
    assert not loaded & {"click", "tqdm", "requests"}
