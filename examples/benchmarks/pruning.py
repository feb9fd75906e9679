"""What does a study save that prunes inside cross-validation, and what does lock-step cost?

Digits, a 64-32-10 net, three folds, up to 40 epochs, 20 % watched, early stopping; learning rate,
batch size and patience are searched.

``quality``: a TPE study of 60 trials with Hyperband in lock-step against the same study without
pruning, for five seeds. The best mean test score must be within 0.005 of the other's (median of the
seeds), with at most 40 % of the epochs trained.

``time``: the same 16 trials (parameters that were drawn before) with the same pruner, each
contender in a process of its own, by turns: skcb, ``optuna_integration.OptunaSearchCV`` over
scikeras, and an objective written by hand (plain Keras, ``KerasPruningCallback`` on the first
fold). Building, tracing, training and scoring are timed, imports are not. The best mean accuracies
must be within 0.03 of each other: weights, orders and what the pruner is told differ.

``overhead``: one trial without pruning, its folds in lock-step and one after the other, by turns in
one process, once everything is compiled. Scores must agree exactly. With reports is shown besides:
there each epoch is scored too.
"""

import statistics

from _digits import compiled, data, folds, net
from _turns import NEEDS, alternate, arguments, faster, race, report, say, share, value, warm_up

FOLDS, EPOCHS, TRIALS, SEEDS = 3, 40, 60, 5
TIMED = 16  # trials of which the slow contenders take minutes already
TOLERANCE = 0.03
NEEDS |= {
    "OptunaSearchCV": ["optuna_integration", "scikeras"],
    "written by hand": ["optuna_integration"],
}
PARTS = ("quality", "time", "overhead")


def distributions():
    """Return what is searched, by short names."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "optimizer__learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "batch_size": IntDistribution(16, 128, log=True),
        "callbacks__stop__patience": IntDistribution(2, 10),
    }


def estimator():
    """Return the estimator that skcb tunes."""
    from skcb import KerasClassifier
    from skcb.callbacks import EarlyStopping

    return KerasClassifier(
        net,
        optimizer="adam",
        metrics=["accuracy"],
        callbacks={"stop": EarlyStopping()},
        epochs=EPOCHS,
        validation_split=0.2,
        random_state=0,
    )


def objective(**options):
    """Return skcb's objective."""
    from skcb.optuna import CrossValObjective

    X, y = data()
    cv = folds(FOLDS)
    return CrossValObjective(
        estimator(),
        distributions(),
        X,
        y,
        cv=cv,
        scoring="accuracy",
        error_score="raise",
        **options,
    )


def study(pruner=None, *, seed=0, name="digits"):
    """Return a study; Hyperband deals trials to brackets by its name."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        direction="maximize",
        study_name=name,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner or optuna.pruners.NopPruner(),
    )


def hyperband():
    """Return the pruner of all contenders."""
    import optuna

    return optuna.pruners.HyperbandPruner(max_resource=EPOCHS)


def epochs_of(study):
    """Count the epochs that skcb trained in all folds of all trials."""
    return sum(sum(trial.user_attrs["fold_epochs"]) for trial in study.trials)


# -- quality ---------------------------------------------------------------------------------


def quality(n_trials, seeds):
    """Compare studies with pruning and without."""
    behind, epochs, scores = [], [], []
    pruned, unpruned = objective(), objective(prune=False)
    for seed in range(seeds):
        ours = study(hyperband(), seed=seed, name=f"digits {seed}")
        ours.optimize(pruned, n_trials=n_trials)
        theirs = study(seed=seed)
        theirs.optimize(unpruned, n_trials=n_trials)
        behind.append(theirs.best_value - ours.best_value)
        epochs.append((epochs_of(ours), epochs_of(theirs)))
        scores.append((ours.best_value, theirs.best_value))
        say(f"seed {seed}: best {scores[-1]}, epochs {epochs[-1]}")
    ours, theirs = (list(each) for each in zip(*epochs, strict=True))
    work = f"study of {n_trials} trials x {FOLDS} folds x {EPOCHS} epochs"
    whole = (n_trials, seeds) == (TRIALS, SEEDS)  # of which the goals speak
    part = statistics.median(a / b for a, b in epochs)
    lost = statistics.median(behind)
    a, b = (statistics.median(each) for each in zip(*scores, strict=True))
    return [
        value(
            f"{work}: epochs trained",
            "no pruning",
            "epochs",
            ours,
            theirs,
            "≤ 40 % of them" if whole else "",
            part <= 0.4 if whole else None,
            label=f"{part:.0%} of them",
            note=f"{seeds} seeds",
        ),
        value(
            f"{work}: best score behind the unpruned study's",
            "no pruning",
            "",
            behind,
            [0.0] * seeds,
            "≤ 0.005" if whole else "",
            lost <= 0.005 if whole else None,
            note=f"median of {seeds} seeds; best accuracy {a:.4f} and {b:.4f}",
        ),
    ]


# -- time ------------------------------------------------------------------------------------


def drawn():
    """Draw the parameters of the trials, the same for all contenders."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [
        {
            "optimizer__learning_rate": float(10 ** rng.uniform(-4, -1)),
            "batch_size": int(2 ** rng.uniform(4, 7)),
            "callbacks__stop__patience": int(rng.integers(2, 11)),
        }
        for _ in range(TIMED)
    ]


def enqueued(names=None):
    """Return a study whose trials are drawn already."""
    found = study(hyperband())
    for params in drawn():
        found.enqueue_trial({k: v for k, v in params.items() if names is None or k in names})
    return found


def skcb(turn):
    """Run the study with skcb."""
    todo, score = enqueued(), objective()
    warm_up()

    def run():
        todo.optimize(score, n_trials=TIMED)
        return {"best": todo.best_value, "epochs": epochs_of(todo)}

    return run


def by_hand(turn):
    """Run the study with an objective as one writes it."""
    import keras
    import numpy as np
    from optuna_integration import KerasPruningCallback

    X, y = data()
    splits, todo, trained = list(folds(FOLDS).split(X, y)), enqueued(), []

    def score(trial):
        rate = trial.suggest_float("optimizer__learning_rate", 1e-4, 1e-1, log=True)
        batch = trial.suggest_int("batch_size", 16, 128, log=True)
        patience = trial.suggest_int("callbacks__stop__patience", 2, 10)
        scores = []
        for fold, (train, test) in enumerate(splits):
            keras.utils.set_random_seed(0)
            model = compiled(rate=rate)
            callbacks = [keras.callbacks.EarlyStopping(patience=patience), Epochs(trained)]
            if fold == 0:
                callbacks.append(KerasPruningCallback(trial, "val_accuracy"))
            model.fit(
                X[train],
                y[train],
                batch_size=batch,
                epochs=EPOCHS,
                validation_split=0.2,
                callbacks=callbacks,
                verbose=0,
            )
            found = model.predict(X[test], verbose=0).argmax(axis=1)
            scores.append(np.mean(found == y[test]))
        return float(np.mean(scores))

    class Epochs(keras.callbacks.Callback):
        def __init__(self, epochs):
            super().__init__()
            self.epochs = epochs

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(epoch)

    warm_up()

    def run():
        todo.optimize(score, n_trials=TIMED)
        return {"best": todo.best_value, "epochs": len(trained)}

    return run


def integration(turn):
    """Run the study with optuna-integration over scikeras; callbacks do not live in it."""
    import warnings

    from optuna_integration import OptunaSearchCV
    from scikeras.wrappers import KerasClassifier

    X, y = data()
    space = {k: v for k, v in distributions().items() if not k.startswith("callbacks")}
    todo = enqueued(space)
    wrapped = KerasClassifier(
        net,
        loss="sparse_categorical_crossentropy",
        optimizer="adam",
        optimizer__learning_rate=1e-3,
        batch_size=32,
        random_state=0,
        verbose=0,
    )
    warnings.simplefilter("ignore")  # it is experimental, and says so
    search = OptunaSearchCV(
        wrapped,
        space,
        cv=folds(FOLDS),
        enable_pruning=True,
        max_iter=EPOCHS,
        n_trials=TIMED,
        study=todo,
        scoring="accuracy",
        refit=False,
        error_score="raise",
    )
    warm_up()

    def run():
        search.fit(X, y)
        trained = sum(len(trial.intermediate_values) * FOLDS for trial in todo.trials)
        return {"best": todo.best_value, "epochs": trained}

    return run


CONTENDERS = {"skcb": skcb, "written by hand": by_hand, "OptunaSearchCV": integration}
GOALS = {"written by hand": 5, "OptunaSearchCV": 10}


def times(rounds):
    """Compare the wall time of the same trials."""
    results = race(list(CONTENDERS), rounds)
    ours = results.pop("skcb")
    return [
        faster(
            f"pruned study of {TIMED} trials",
            name,
            "s",
            [r["seconds"] for r in ours],
            [r["seconds"] for r in found],
            GOALS[name],
            note=f"best accuracy {ours[0]['best']:.3f} and {found[0]['best']:.3f}; "
            f"epochs {ours[0]['epochs']} and {found[0]['epochs']}",
            agrees=abs(ours[0]["best"] - found[0]["best"]) <= TOLERANCE,
        )
        for name, found in results.items()
    ]


# -- overhead --------------------------------------------------------------------------------


def overhead(rounds):
    """Compare one trial's folds in lock-step and one after the other."""
    params = {
        "optimizer__learning_rate": 1e-3,
        "batch_size": 32,
        "callbacks__stop__patience": 10,
    }
    together = objective(prune=False)
    one_by_one = objective(prune=False, strategy="sequential")
    reporting = objective()

    def told():
        asked = study()
        asked.enqueue_trial(params)
        asked.optimize(reporting, n_trials=1)
        return asked.best_trial.user_attrs

    contenders = {
        "together": lambda: together.evaluate(params),
        "one by one": lambda: one_by_one.evaluate(params),
        "told": told,
    }
    alternate(contenders, 1)  # the first trial of a structure compiles
    seconds, results = alternate(contenders, rounds)
    scores = [result["fold_scores"] for result in results.values()]
    agrees = scores[0] == scores[1] == scores[2]
    work = f"a trial of {FOLDS} folds x {EPOCHS} epochs in lock-step"
    note = "scores equal"
    against, theirs = "one fold after the other", seconds["one by one"]
    return [
        share(work, against, "s", seconds["together"], theirs, 1.15, note=note, agrees=agrees),
        share(
            f"{work}, scored after each epoch",
            against,
            "s",
            seconds["told"],
            theirs,
            note=note,
            agrees=agrees,
        ),
    ]


def main():
    """Run the parts and print medians and ratios."""
    options = arguments(__doc__, CONTENDERS, only=PARTS)
    lines = []
    if "quality" in options.only:
        lines += quality(10, 1) if options.quick else quality(TRIALS, SEEDS)
    if "time" in options.only:
        lines += times(options.rounds)
    if "overhead" in options.only:
        lines += overhead(3 * options.rounds)
    report(lines, options)


if __name__ == "__main__":
    main()
