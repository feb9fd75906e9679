"""Recipes for the callbacks that tell of training: to files, servers, the screen, own functions.

Owns one recipe a class, with what its values may be. Leaves building to ``recipe``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skcb.callbacks.ranges import (
    BOOLEAN,
    CALLABLE,
    MAPPING,
    NONE,
    TEXT,
    Allowed,
    Ranges,
    integer,
    is_integer,
    one_of,
)
from skcb.callbacks.recipe import CallbackRecipe
from skcb.tunable import built

Hook = Callable[..., Any] | None

_HOOKS = [
    *(f"on_{what}_{when}" for what in ("epoch", "batch") for when in ("begin", "end")),
    *(
        f"on_{what}_{when}"
        for way in ("train", "test", "predict")
        for what in (way, f"{way}_batch")
        for when in ("begin", "end")
    ),
]

SEPARATOR = Allowed("a string of one character", lambda v: isinstance(v, str) and len(v) == 1)


class CSVLogger(CallbackRecipe):
    """Write each epoch's logs as a line of a CSV file: ``keras.callbacks.CSVLogger``.

    Parameters
    ----------
    filename : str or path
        The file; ``{run}`` and directories as in :class:`ModelCheckpoint`.
    separator : str, default=","
        Between two values.
    append : bool, default=False
        Whether to go on in a file that is there.

    Examples
    --------
    >>> from skcb.callbacks import CSVLogger
    >>> CSVLogger("runs/{run}/history.csv")
    CSVLogger(filename='runs/{run}/history.csv')
    """

    ALLOWED = Ranges(separator=SEPARATOR, append=BOOLEAN)

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append


def _is_profile(value: Any) -> bool:
    if isinstance(value, str):  # as Keras reads it: "2" or "2,4"
        parts = value.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            return False
        value = [int(part) for part in parts]
        value = value[0] if len(value) == 1 else value
    if isinstance(value, list | tuple):
        return len(value) == 2 and all(map(is_integer, value)) and 0 <= value[0] <= value[1]
    return is_integer(value) and value >= 0


PROFILE = Allowed(
    "an integer of at least 0, or the first and the last batch to profile", _is_profile
)


class TensorBoard(CallbackRecipe):
    """Write event files for TensorBoard: ``keras.callbacks.TensorBoard``.

    Each fit adds files of its own; give each a directory of its own by ``{run}``, or their curves
    lie in one chart line.

    Parameters
    ----------
    log_dir : str or path, default="logs"
        Where to write; ``{run}`` as in :class:`ModelCheckpoint`.
    histogram_freq : int, default=0
        Every how many epochs to write histograms of the weights; 0 never.
    write_graph : bool, default=True
        Whether to write the model's graph.
    write_images : bool, default=False
        Whether to write weights as images, together with histograms.
    write_steps_per_second : bool, default=False
        Whether to write how fast training is; this makes it slower.
    update_freq : "epoch", "batch" or int, default="epoch"
        When to write loss and metrics; an integer counts batches.
    profile_batch : int or pair of int, default=0
        Which batches to profile; 0 none.
    embeddings_freq : int, default=0
        Every how many epochs to save embeddings; 0 never.
    embeddings_metadata : str or dict, optional
        File of labels for the embeddings, or one for each layer by name.

    Examples
    --------
    >>> from skcb.callbacks import TensorBoard
    >>> TensorBoard("logs/{run}", histogram_freq=1)
    TensorBoard(histogram_freq=1, log_dir='logs/{run}')
    """

    ALLOWED = Ranges(
        histogram_freq=integer(0),
        write_graph=BOOLEAN,
        write_images=BOOLEAN,
        write_steps_per_second=BOOLEAN,
        update_freq=one_of("epoch", "batch") | integer(1),
        profile_batch=PROFILE,
        embeddings_freq=integer(0),
        embeddings_metadata=TEXT | MAPPING | NONE,
    )

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: str | Mapping[str, str] | None = None,
    ) -> None:
        self.log_dir = log_dir
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = update_freq
        self.profile_batch = profile_batch
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata


class RemoteMonitor(CallbackRecipe):
    """Send each epoch's logs to a server by HTTP: ``keras.callbacks.RemoteMonitor``.

    Needs the package ``requests``, without which Keras raises ImportError after the first epoch;
    skcb does so before it. A server that cannot be reached is a warning of Keras'.

    Parameters
    ----------
    root : str, default="http://localhost:9000"
        The server.
    path : str, default="/publish/epoch/end/"
        Where on it.
    field : str, default="data"
        Name of the form's field that holds the logs as JSON.
    headers : dict, optional
        Headers of each request.
    send_as_json : bool, default=False
        Whether the body is the JSON itself, not a form.

    Examples
    --------
    >>> from skcb.callbacks import RemoteMonitor
    >>> RemoteMonitor("http://localhost:8000", send_as_json=True)
    RemoteMonitor(root='http://localhost:8000', send_as_json=True)
    """

    NEEDS = ("requests", "requests")
    ALLOWED = Ranges(
        root=TEXT,
        path=TEXT,
        field=TEXT,
        headers=MAPPING | NONE,
        send_as_json=BOOLEAN,
    )

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json


class LambdaCallback(CallbackRecipe):
    """Call functions as training goes on: ``keras.callbacks.LambdaCallback``.

    Functions are not copied: what a lambda writes to is the same in every fit. Where each fit
    shall have its own, write a class of your own and give it as such, or in a
    :class:`skcb.Tunable`.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with the epoch and its logs.
    on_train_begin, on_train_end : callable, optional
        Called with the logs.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with the batch and, by keyword, its logs. These, and those below, make the fit go
        batch by batch.
    on_batch_begin, on_batch_end : callable, optional
        The older names of the two above.
    on_test_begin, on_test_end : callable, optional
        Around each evaluation of the watched rows.
    on_test_batch_begin, on_test_batch_end : callable, optional
        Around each batch of it.
    on_predict_begin, on_predict_end, on_predict_batch_begin, on_predict_batch_end : callable, \
optional
        Taken because Keras takes them; no prediction is made in a fit.

    Examples
    --------
    >>> from skcb.callbacks import LambdaCallback
    >>> seen = []
    >>> recipe = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    >>> recipe.build().on_epoch_end(0, {"loss": 0.5})
    >>> seen
    [0.5]
    """

    ALLOWED = Ranges(**dict.fromkeys(_HOOKS, CALLABLE | NONE))

    def __init__(
        self,
        on_epoch_begin: Hook = None,
        on_epoch_end: Hook = None,
        on_train_begin: Hook = None,
        on_train_end: Hook = None,
        on_train_batch_begin: Hook = None,
        on_train_batch_end: Hook = None,
        on_batch_begin: Hook = None,
        on_batch_end: Hook = None,
        on_test_begin: Hook = None,
        on_test_end: Hook = None,
        on_test_batch_begin: Hook = None,
        on_test_batch_end: Hook = None,
        on_predict_begin: Hook = None,
        on_predict_end: Hook = None,
        on_predict_batch_begin: Hook = None,
        on_predict_batch_end: Hook = None,
    ) -> None:
        self.on_epoch_begin = on_epoch_begin
        self.on_epoch_end = on_epoch_end
        self.on_train_begin = on_train_begin
        self.on_train_end = on_train_end
        self.on_train_batch_begin = on_train_batch_begin
        self.on_train_batch_end = on_train_batch_end
        self.on_batch_begin = on_batch_begin
        self.on_batch_end = on_batch_end
        self.on_test_begin = on_test_begin
        self.on_test_end = on_test_end
        self.on_test_batch_begin = on_test_batch_begin
        self.on_test_batch_end = on_test_batch_end
        self.on_predict_begin = on_predict_begin
        self.on_predict_end = on_predict_end
        self.on_predict_batch_begin = on_predict_batch_begin
        self.on_predict_batch_end = on_predict_batch_end

    def construct(self, given: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> Any:
        """Call Keras' class; the hooks that its signature does not name go by ``**kwargs``."""
        hooks = {n: v for n, v in {**given, **settings}.items() if v is not None}
        return self.target()(**{n: built(v, {}, where=f"{where}__{n}") for n, v in hooks.items()})


class ProgbarLogger(CallbackRecipe):
    """Show a progress bar: ``keras.callbacks.ProgbarLogger``.

    What it shows follows ``verbose``, and ``verbose=1`` shows a bar without it too, so all that
    this recipe says is where among the callbacks the bar stands: its line ends with what those
    before it have logged. With ``verbose=0`` it is silent.

    Examples
    --------
    >>> from skcb.callbacks import ProgbarLogger
    >>> ProgbarLogger()
    ProgbarLogger()
    """

    def __init__(self) -> None:
        """Take nothing, as Keras' does."""


class History(CallbackRecipe):
    """Keep each epoch's logs: ``keras.callbacks.History``.

    Every fit has them in ``history_``, with the learning rate. With this recipe they are in
    ``callbacks_`` too, as Keras' object. Let it stand last: here as in Keras it is the only one,
    and keeps what those before it have logged.

    Examples
    --------
    >>> from skcb.callbacks import History
    >>> History()
    History()
    """

    def __init__(self) -> None:
        """Take nothing, as Keras' does."""
