"""The plan of the house: who may import whom, and that CONTRIBUTING shows it as it is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skweiper"
FLOORS = (  # from the ground up; a room imports only from floors below its own
    {"version", "_typing"},
    {"presets", "datasets", "scores", "_support"},
    {"head", "conformal", "_score_sets"},
    {"metrics", "io"},
    {"_weiper"},
    {"base"},
    {"detector", "transformer", "shaping", "baselines"},
    {"ensemble", "monitoring", "_report"},
    {"registry", "evaluation", "plotting", "model_selection", "export", "distributed"},
    {"recommendation"},
    {"cli"},
    {"__init__", "__main__"},
)
METHOD_ROOMS = (  # within _weiper
    {"draws"},
    {"density", "statistics", "perturbation"},
    {"engines"},
    {"execution", "rules"},
    {"passes", "stretch"},
    {"ranges"},
    {"fitting", "flips"},
)
IO_ROOMS = (  # within io
    {"errors", "packages", "roles"},
    {"paths", "blocks"},
    {"arrays", "tables", "stacked"},
    {"choosing", "dump", "formats"},
    {"opening"},
    {"features", "labels", "heads", "scores", "description"},
)
EXPORT_ROOMS = (  # within export
    {"graph"},
    {"arithmetic", "histograms", "logit_scores"},
    {"weiper", "peers", "ensemble"},
    {"detectors"},
    {"model"},
)
CLI_ROOMS = (  # within cli
    {"arguments", "demonstration", "expanding", "fingerprints", "hyperparameters"},
    {"model_files", "outputs", "arrivals", "exclusive"},
    {"tables", "data", "detectors"},
    {"output"},
    {"errors", "pictures", "reports", "scoring", "detector_options", "inspection", "watch_state"},
    {"monitor_options", "watching"},
    {"commands"},
    {"app"},
    {"entry"},
)
OPTIONAL = {
    *("numba", "cupy", "matplotlib", "rich", "torch", "typer", "skops", "dask"),
    *("pyarrow", "h5py", "safetensors", "zarr"),
    *("onnx", "onnxruntime"),
}
LEFT_OUT = {"__init__", "__main__", "version"}


def imported(path):
    """(module, whether within a function) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) or is_for_types(function)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
            if node.module == "skweiper":
                names = [f"skweiper.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node in inside) for name in names)


def is_for_types(node):
    """Whether a block is read by type checkers only."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def room_of(path, folder):
    return path.relative_to(folder).parts[0].removesuffix(".py")


def storeys(folder, floors, prefix):
    """Imports of a room above or beside its own, as text."""
    level = {room: number for number, floor in enumerate(floors) for room in floor}
    for path in folder.rglob("*.py"):
        room = room_of(path, folder)
        for name, _ in imported(path):
            other = name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else room
            if other != room and level[other] >= level[room]:
                yield f"{path.relative_to(ROOT)} imports {name}"


def test_a_room_imports_only_from_floors_below():
    assert not list(storeys(PACKAGE, FLOORS, "skweiper."))


def test_so_do_the_rooms_of_the_method():
    floors = (*METHOD_ROOMS, {"__init__"})
    assert not list(storeys(PACKAGE / "_weiper", floors, "skweiper._weiper."))


def test_so_do_the_rooms_of_io():
    floors = (*IO_ROOMS, {"__init__"})
    assert not list(storeys(PACKAGE / "io", floors, "skweiper.io."))


def test_so_do_the_rooms_of_the_export():
    floors = (*EXPORT_ROOMS, {"__init__"})
    assert not list(storeys(PACKAGE / "export", floors, "skweiper.export."))


def test_so_do_the_rooms_of_the_command_line():
    floors = (*CLI_ROOMS, {"__init__"})
    assert not list(storeys(PACKAGE / "cli", floors, "skweiper.cli."))


def test_optional_packages_are_imported_where_they_are_used():
    eager = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name, is_inside in imported(path)
        if name.split(".")[0] in OPTIONAL and not is_inside
    ]
    # Modules that are themselves imported only where the engine, or the command line, is asked for.
    lazy = ("skweiper/_weiper/engines/numba", "skweiper/cli/")
    assert all(where.startswith(lazy) for where in eager), eager


def planned_rooms():
    """Names in CONTRIBUTING's plan of the house."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    plan = re.search(r"```text\n(.*?)```", text, re.DOTALL).group(1)
    return {line.split()[0].rstrip("/") for line in plan.splitlines() if line.strip()}


def test_the_plan_in_contributing_has_every_room():
    rooms = {room_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")} - LEFT_OUT
    support = {room_of(p, PACKAGE / "_support") for p in (PACKAGE / "_support").rglob("*.py")}
    method = {room_of(path, PACKAGE / "_weiper") for path in (PACKAGE / "_weiper").rglob("*.py")}
    files = {room_of(path, PACKAGE / "io") for path in (PACKAGE / "io").rglob("*.py")}
    graphs = {room_of(path, PACKAGE / "export") for path in (PACKAGE / "export").rglob("*.py")}
    commands = {room_of(path, PACKAGE / "cli") for path in (PACKAGE / "cli").rglob("*.py")}
    within = support | method | files | graphs | commands
    assert planned_rooms() == (rooms | within) - LEFT_OUT


@pytest.mark.parametrize("floors", [FLOORS, METHOD_ROOMS, IO_ROOMS, EXPORT_ROOMS, CLI_ROOMS])
def test_no_room_is_on_two_floors(floors):
    assert sum(map(len, floors)) == len(set().union(*floors))
