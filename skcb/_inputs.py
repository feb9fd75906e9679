"""Inputs: which columns of one table feed which input of a model.

Owns the reading of ``inputs`` (names, positions, slices, masks, selectors), the checks that each
column is there, is used once and holds numbers, and the cut of a table into named arrays. Leaves
the names and the number of the table's columns to scikit-learn's ``validate_data``.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

from skcb._data import as_numbers, model_input
from skcb._names import suggestion


@dataclass(frozen=True, eq=False)
class Inputs:
    """The columns of each input of a model, as learned from the table of training.

    Attributes
    ----------
    columns : dict of str to list of int
        Positions of the columns in the table.
    whole : frozenset of str
        Inputs that are integers, and stay so: as floats of 32 bits, those beyond 2 ** 24 would
        become others.
    """

    columns: dict[str, list[int]]
    whole: frozenset[str]

    @classmethod
    def learn(cls, inputs: Any, X: Any, names: Any, **checks: Any) -> Inputs:
        """Read ``inputs`` as it was given, for the table of training.

        Parameters
        ----------
        inputs : dict of str to columns
        X : frame, ndarray or sparse matrix
        names : sequence of str or None
            Of the columns.
        **checks : object
            Arguments of scikit-learn's ``check_array``.

        Raises
        ------
        ValueError, TypeError
            No dict, a column that is not there or is used twice, or one without numbers.
        """
        if not isinstance(inputs, Mapping) or not inputs:
            raise ValueError(
                "`inputs` must be a dict of an input's name to its columns, such as "
                f'{{"numbers": ["age", "height"], "text": slice(2, None)}}, but got {inputs!r}.'
            )
        known = None if names is None else [str(name) for name in names]
        columns = {key: _positions(key, value, X, known) for key, value in inputs.items()}
        _refuse_twice(columns, known)
        learned = cls(columns, frozenset())
        parts = learned._checked(X, **checks)
        return cls(columns, frozenset(k for k, part in parts.items() if part.dtype.kind in "iu"))

    def cut(self, X: Any, **checks: Any) -> dict[str, Any]:
        """Return the arrays of all inputs, in the precision that Keras takes.

        Parameters
        ----------
        X : frame, ndarray or sparse matrix
            Columns as in training.
        **checks : object
            Arguments of scikit-learn's ``check_array``.
        """
        parts = self._checked(X, **checks)
        return {
            name: _integers(name, part) if name in self.whole else model_input(_floats(part))
            for name, part in parts.items()
        }

    def _checked(self, X: Any, **checks: Any) -> dict[str, Any]:
        return {
            name: _numeric(name, _columns(X, positions), **checks)
            for name, positions in self.columns.items()
        }


def refuse_others(model: Any, given: Iterable[str]) -> None:
    """Refuse names that none of a model's inputs has, which Keras would pass over."""
    known = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if known is None:
        return
    if not isinstance(known, dict):
        known = [tensor.name for tensor in (known if isinstance(known, list | tuple) else [known])]
    for name in given:
        if name not in known:
            raise ValueError(
                f"`inputs` names {name!r}, and the model has no input of that name. "
                + suggestion(name, known)
            )


def table(X: Any) -> Any:
    """Return X as something that columns can be taken from: a frame, an array or CSR."""
    if issparse(X):
        return X.tocsr()
    if hasattr(X, "columns") and hasattr(X, "shape"):
        return X
    return check_array(X, dtype=None, allow_nd=True, ensure_all_finite=False)


def _columns(X: Any, positions: list[int]) -> Any:
    return X.iloc[:, positions] if hasattr(X, "iloc") else X[:, positions]


def _positions(key: Any, columns: Any, X: Any, names: list[str] | None) -> list[int]:
    """Return the positions that one entry of ``inputs`` means."""
    where = f"inputs[{key!r}]"
    if not isinstance(key, str):
        raise ValueError(f"`inputs` has the key {key!r}; keys are the names of a model's inputs.")
    if callable(columns):
        columns = columns(X)
    n = X.shape[1]
    if isinstance(columns, slice):
        found = _sliced(where, columns, names, n)
    elif isinstance(columns, str | numbers.Integral):
        found = [_position(where, columns, names, n)]
    else:
        found = _listed(where, columns, names, n)
    if not found:
        raise ValueError(f"`{where}={columns!r}` takes no column.")
    return found


def _listed(where: str, columns: Any, names: list[str] | None, n: int) -> list[int]:
    try:
        given = [columns] if isinstance(columns, bytes) else list(columns)
    except TypeError as error:
        raise TypeError(
            f"`{where}` must be names, positions, a slice, a mask, or a function of X that returns "
            f"one of them, but got {columns!r}."
        ) from error
    if isinstance(columns, Set):  # in no order of its own: in that of the table
        return sorted(_position(where, each, names, n) for each in given)
    if given and all(isinstance(each, bool | np.bool_) for each in given):
        if len(given) != n:
            raise ValueError(f"`{where}` is a mask of {len(given)} for {n} columns.")
        return np.flatnonzero(given).tolist()
    return [_position(where, each, names, n) for each in given]


def _sliced(where: str, columns: slice, names: list[str] | None, n: int) -> list[int]:
    """Read a slice; one of names includes its end, as in a frame."""
    start, stop = columns.start, columns.stop
    if isinstance(start, str):
        start = _position(where, start, names, n)
    if isinstance(stop, str):
        stop = _position(where, stop, names, n) + 1
    return list(range(n))[start : stop : columns.step]


def _position(where: str, column: Any, names: list[str] | None, n: int) -> int:
    if isinstance(column, str):
        if names is None:
            raise ValueError(f"`{where}` names column {column!r}, but the columns have no names.")
        if column not in names:
            raise ValueError(
                f"`{where}` names column {column!r}, which is not there. "
                + suggestion(column, names)
            )
        return names.index(column)
    if isinstance(column, bool) or not isinstance(column, numbers.Integral):
        raise TypeError(f"`{where}` has {column!r}, which is neither a name nor a position.")
    position = int(column)
    if not -n <= position < n:
        raise ValueError(f"`{where}` has position {position}, but there are {n} columns.")
    return position % n


def _refuse_twice(columns: Mapping[str, list[int]], names: list[str] | None) -> None:
    taken: dict[int, str] = {}
    for key, positions in columns.items():
        for position in positions:
            if position in taken:
                label = position if names is None else repr(names[position])
                where = {f"inputs[{k!r}]": None for k in (taken[position], key)}
                raise ValueError(
                    f"column {label} is used twice, in `{'` and `'.join(where)}`: a column feeds "
                    "one input. Let the model share an input where two parts of it read it."
                )
            taken[position] = key


def _numeric(name: str, part: Any, **checks: Any) -> Any:
    """Check one input's columns as scikit-learn does; name the one that holds no numbers."""
    checks = {"accept_sparse": "csr", "allow_nd": True, **checks}
    try:
        return as_numbers(check_array(part, **checks), **checks)
    except (ValueError, TypeError) as error:
        label = None if issparse(part) else _not_numeric(part)
        if label is None:
            raise
        raise ValueError(
            f"`inputs[{name!r}]` takes column {label!r}, which does not hold numbers ({error}). "
            "Encode it first, by a ColumnTransformer say."
        ) from error


def _not_numeric(part: Any) -> Any:
    """Return the name or position of the first column that holds no numbers, or None."""
    labels = getattr(part, "columns", range(part.shape[1]))
    any_value = {"allow_nd": True, "ensure_all_finite": False}
    for position, label in enumerate(labels):
        try:
            as_numbers(check_array(_columns(part, [position]), **any_value), **any_value)
        except (ValueError, TypeError):
            return label
    return None


def _floats(part: Any) -> Any:
    return part if part.dtype.kind in "fb" else part.astype(float)


def _integers(name: str, part: Any) -> Any:
    """Return integers as the model was trained on, from whatever holds integers."""
    if part.dtype.kind in "iu":
        return part
    values = part.data if issparse(part) else part
    if not (np.isfinite(values) & (values == np.round(values))).all():
        raise ValueError(
            f"`inputs[{name!r}]` was trained on integers, but X has other numbers there."
        )
    return part.astype(np.int64)
