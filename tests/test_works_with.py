"""The page "Works with" names what was promised, and tests that are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "works_with.md").read_text("utf-8")
PROMISED = """
    Pipeline ColumnTransformer GridSearchCV RandomizedSearchCV HalvingGridSearchCV
    HalvingRandomSearchCV cross_validate cross_val_predict learning_curve validation_curve
    permutation_importance CalibratedClassifierCV TunedThresholdClassifierCV
    FixedThresholdClassifier VotingClassifier VotingRegressor StackingClassifier StackingRegressor
    BaggingClassifier BaggingRegressor AdaBoostClassifier AdaBoostRegressor OneVsRestClassifier
    OneVsOneClassifier ClassifierChain MultiOutputClassifier MultiOutputRegressor
    SequentialFeatureSelector TransformedTargetRegressor FrozenEstimator set_output
    SelfTrainingClassifier KerasTransformer PyDataset
""".split()


def promises():
    """Yield the file and the name of each test on the page: "All in" a file, or named before it."""
    file = None
    for line in PAGE.splitlines():
        if line.startswith("#"):
            file = None
        for found in re.findall(r"`((?:\w+/)*test_\w+(?:\.py)?)`", line):
            if found.endswith(".py"):
                file = found
            else:
                yield file, found


def defined(file):
    """Return the tests of a file."""
    return re.findall(r"^def (test_\w+)", (TESTS / file).read_text("utf-8"), re.MULTILINE)


def test_every_test_that_the_page_names_is_where_it_says():
    """And every test of the meta-estimators stands on the page."""
    named = set(promises())
    assert len(named) > 70
    assert {(file, name) for file, name in named if name not in defined(file)} == set()
    meta = "test_meta_estimators.py"
    assert set(defined(meta)) <= {name for file, name in named if file == meta}


@pytest.mark.parametrize("name", PROMISED)
def test_the_page_names_what_was_promised(name):
    """By the name under which people look for it."""
    assert f"`{name}`" in PAGE
