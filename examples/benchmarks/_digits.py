"""The small work that most benchmarks use: scikit-learn's digits and a 64-32-10 net."""


def data():
    """Return the 1 797 images as rows of 64 numbers up to 1, and their digits."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype("float32"), y


def folds(n=3):
    """Return the splitter that every contender uses."""
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(n, shuffle=True, random_state=0)


def net(hidden=(64, 32)):
    """Build the net."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((64,)),
            *(layers.Dense(units, "relu") for units in hidden),
            layers.Dense(10, "softmax"),
        ]
    )


def compiled(hidden=(64, 32), rate=1e-3):
    """Build and compile the net as one does by hand."""
    import keras

    model = net(hidden)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model
