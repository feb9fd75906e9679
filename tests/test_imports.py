"""Imports run one way, heavy guests have one room each, and `import skcb` invites none of them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports only from modules above it in this list, in functions too.
LAYERS = [
    "skcb.exceptions",
    "skcb._names",
    "skcb._versions",
    "skcb._storable",
    "skcb._spellings",
    "skcb._keras",
    "skcb._seeds",
    "skcb._portable",
    "skcb.tunable",
    "skcb.callbacks.ranges",
    "skcb.callbacks.recipe",
    "skcb.callbacks.steering",
    "skcb.callbacks.live_saving",
    "skcb.callbacks.saving",
    "skcb.callbacks.telling",
    "skcb.callbacks.live_backup",
    "skcb.callbacks.backup",
    "skcb.callbacks.live_scoring",
    "skcb.callbacks.epoch_scoring",
    "skcb.callbacks",
    "skcb._runs",
    "skcb._paths",
    "skcb._callbacks",
    "skcb.schedules.schedule",
    "skcb.schedules.decays",
    "skcb.schedules.cycles",
    "skcb.schedules.forms",
    "skcb.schedules",
    "skcb._heads",
    "skcb._metric_names",
    "skcb._targets",
    "skcb._data",
    "skcb._inputs",
    "skcb._validation",
    "skcb._clock",
    "skcb._auto_names",
    "skcb._params",
    "skcb._routing",
    "skcb._old_decay",
    "skcb._parts",
    "skcb._templates",
    "skcb._misfits",
    "skcb._compile",
    "skcb._completion",
    "skcb._build",
    "skcb._monitors",
    "skcb.engine",
    "skcb.engine.feed",
    "skcb.engine.state",
    "skcb.engine.hooks",
    "skcb.engine.batches",
    "skcb.engine.steps",
    "skcb.engine.fits",
    "skcb.engine.structure",
    "skcb.engine.program.joined",
    "skcb.engine.program.tracing",
    "skcb.engine.program.bound",
    "skcb.engine.program",
    "skcb.engine.pool",
    "skcb.engine.roads",
    "skcb.engine.loop",
    "skcb._judged",
    "skcb._preparation",
    "skcb._feeding",
    "skcb._running",
    "skcb._fingerprint",
    "skcb._resuming",
    "skcb._view",
    "skcb._lending",
    "skcb._pending",
    "skcb._predicting",
    "skcb._base",
    "skcb.estimators",
    "skcb.transformer",
    "skcb._inside",
    "skcb.scoring",
    "skcb._folds",
    "skcb._refit",
    "skcb.optuna._space",
    "skcb.optuna._failures",
    "skcb.optuna._scorers",
    "skcb.optuna._reporting",
    "skcb.optuna._artifacts",
    "skcb.optuna._timeouts",
    "skcb.optuna._strategies",
    "skcb.optuna._studies",
    "skcb.optuna._workers",
    "skcb.optuna._objective",
    "skcb.optuna._candidates",
    "skcb.optuna._cv_results",
    "skcb.optuna._outcome",
    "skcb.optuna._arguments",
    "skcb.optuna._found",
    "skcb.optuna._search",
    "skcb.optuna._trials",
    "skcb.optuna._fold_reports",
    "skcb.optuna._live_pruning",
    "skcb.optuna._pruning",
    "skcb.optuna",
    "skcb",
]

# Which modules may import a heavy package, by the beginning of their name.
ROOMS = {
    "tensorflow": "skcb.engine.program",
    "optuna": "skcb.optuna",
    "matplotlib": "skcb.plots",
}


def name_of(file: Path) -> str:
    """Return the dotted name of a module's file."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(file): file for file in sorted((ROOT / "skcb").rglob("*.py"))}


def imported(source: str) -> Iterator[str]:
    """Yield the full name of everything that a source imports, wherever the import stands.

    `from a import b` gives `a.b`, which may be a module or a name in one; a relative import keeps
    its dots.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from (f"{'.' * level}{module or ''}.{alias.name}" for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def module_of(name: str) -> str:
    """Return the module of the package that an imported name is or stands in."""
    return name if name in FILES else name.rpartition(".")[0]


def imports_of(module: str) -> set[str]:
    """Return everything that a module of the package imports."""
    return set(imported(FILES[module].read_text("utf-8")))


def test_every_module_has_its_place():
    """The list of layers names each module of the package once, and no other."""
    assert sorted(LAYERS) == sorted(FILES)


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_from_above_it(module):
    """No module reaches down the list, so there is no cycle."""
    inside = {module_of(name) for name in imports_of(module) if name.split(".")[0] == "skcb"}
    above = set(LAYERS[: LAYERS.index(module)])
    assert inside - {module} - above == set()


@pytest.mark.parametrize("guest", ROOMS)
def test_a_heavy_guest_stays_in_its_room(guest):
    """Each heavy package is imported in one place alone."""
    hosts = {m for m in FILES if any(n.split(".")[0] == guest for n in imports_of(m))}
    room = ROOMS[guest]
    assert {m for m in hosts if m != room and not m.startswith(f"{room}.")} == set()


@pytest.mark.parametrize("module", FILES)
def test_imports_are_absolute(module):
    """`from skcb.x import y`, never `from .x import y`."""
    assert [name for name in imports_of(module) if name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "import skcb",
        "from skcb import KerasClassifier, KerasRegressor, Tunable",
        "import skcb.callbacks, skcb.schedules, skcb.exceptions",
        """
from sklearn.base import clone
from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
from skcb.schedules import CosineDecay

def build(meta, hidden=3):
    raise AssertionError("called before fit")

clf = KerasClassifier(build, optimizer="adam", optimizer__learning_rate=0.1, hidden=4,
                      callbacks={"stop": EarlyStopping(patience=2)}, lr_schedule=CosineDecay())
clf.set_params(callbacks__stop__patience=3)
assert clone(clf).get_params(deep=True)["callbacks__stop__patience"] == 3
repr(clf)
""",
    ],
    ids=["package", "names", "modules", "describing an estimator"],
)
def test_nothing_heavy_is_loaded_before_a_fit(script):
    """Describing an estimator and its parameters costs no import of TensorFlow or its like."""
    heavy = {"tensorflow", "keras", "optuna", "matplotlib"}
    report = f"import sys; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{report}"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_imports_are_read_wherever_they_stand():
    """In functions, under conditions, by name and by `import_module`."""
    source = """
import a.b
from c import d, e
def f():
    from .g import h
    if True:
        importlib.import_module("i.j")
"""
    assert set(imported(source)) == {"a.b", "c.d", "c.e", ".g.h", "i.j"}
