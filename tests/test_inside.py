"""Where Keras steps stand in an estimator."""

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, KerasRegressor, _inside
from tests.models import X, Y, fitted, perceptron

CLF, REG = KerasClassifier(perceptron), KerasRegressor(perceptron)


def test_described_steps_have_the_prefix_of_their_names():
    """As `set_params` would reach them."""
    voting = VotingClassifier([("a", CLF), ("b", LogisticRegression())])
    shapes = {
        "": CLF,
        "kerasclassifier__": make_pipeline(StandardScaler(), CLF),
        "pipeline__kerasclassifier__": make_pipeline(make_pipeline(CLF)),
        "regressor__": TransformedTargetRegressor(REG),
        "estimator__kerasclassifier__": GridSearchCV(make_pipeline(CLF), {}),
        "a__": voting,
    }
    for prefix, estimator in shapes.items():
        assert list(_inside.described(estimator)) == [prefix]
    for none in (LogisticRegression(), None, 3, {"a": CLF}):
        assert _inside.described(none) == {}


def test_trained_steps_are_those_that_were_fitted():
    """Not the descriptions that they were cloned from."""
    alone = fitted()
    assert _inside.trained(alone) == [alone]
    assert _inside.trained(CLF) == []
    pipe = make_pipeline(StandardScaler(), make_pipeline(KerasClassifier(perceptron)))
    assert _inside.trained(pipe) == []
    pipe.fit(X, Y["binary"])
    assert _inside.trained(pipe) == [pipe[1][0]]
    target = TransformedTargetRegressor(REG, transformer=StandardScaler())
    target.fit(X, Y["regression"])
    assert _inside.trained(target) == [target.regressor_]
    voting = VotingClassifier([("a", CLF), ("b", CLF)]).fit(X, Y["binary"])
    assert len(_inside.trained(voting)) == 2
