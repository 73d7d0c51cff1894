"""Tables over time: files and arrays, gaps refused or told, the future apart."""

import io

import numpy as np
import pytest

from rnnx.errors import InputError, ShapeError
from rnnx.runtime.tasks.read_kinds import SeriesRead, Table
from rnnx.runtime.tasks.series import column_names, series_arrays

PLAIN = SeriesRead(tables=(Table(input="x", columns=("a", "b"), rows="all"),))
AHEAD = SeriesRead(
    tables=(Table(input="past", columns=("load", "warm")), Table(input="future", columns=("warm",), rows="future")),
    horizon=2,
    time="hour",
)
VISITS = SeriesRead(
    tables=(
        Table(input="values", columns=("p", "q"), rows="all", mask="seen", gaps="gaps", fill="last"),
        Table(input="days", columns=("day",), rows="all"),
        Table(input="person", columns=("sex",), rows="first"),
    ),
    missing="mask",
    time="day",
    categories={"sex": {"f": 1, "m": 0}},
)


def read(source, kind=PLAIN, **options):
    given = source.encode() if isinstance(source, str) else source
    return series_arrays(given, kind, "'x.csv'", **options)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n",
        "b,a\n2,1\n4,3",
        "\ufeffa;b\r\n1;2\r\n3;4\r\n",
        "when\tb\ta\nmon\t2\t1\ntue\t4\t3\n\n",
        '"a","b"\n" 1 ","2"\n3e0,4\n',
        "1,2\n3,4\n",
    ],
)
def test_tables(text):
    np.testing.assert_array_equal(read(text).inputs["x"], [[1, 2], [3, 4]])


def test_arrays():
    values = np.array([[1, 2], [3, 4]])
    saved = io.BytesIO()
    np.save(saved, values.astype(np.float32))
    for source in (values, saved.getvalue(), {"b": values[:, 1], "a": [1, 3], "c": "whatever"}):
        np.testing.assert_array_equal(read(source).inputs["x"], values)
    one = SeriesRead(tables=(Table(input="x", columns=("a",), rows="all"),))
    np.testing.assert_array_equal(read(np.array([1.0, 2.0]), one).inputs["x"], [[1], [2]])


def test_the_future_is_read_apart():
    found = read("hour,load,warm\n1,5,10\n2,6,11\n3,,12\n4,,13\n", AHEAD)
    np.testing.assert_array_equal(found.inputs["past"], [[5, 10], [6, 11]])
    np.testing.assert_array_equal(found.inputs["future"], [[12], [13]])
    np.testing.assert_array_equal(found.ahead, [3, 4])
    assert column_names(AHEAD) == ["hour", "load", "warm"]


def test_gaps_are_told():
    # Che et al. 2018, figure 2: times 0, 3, 4, 6; the second value of p and the second and third of q are missing.
    text = "day,p,q,sex\n0,47,1,f\n3,,NA,f\n4,40,nan,\n6,43,4,f\n"
    found = read(text, VISITS, by_column=frozenset({"gaps"})).inputs
    np.testing.assert_array_equal(found["seen"], [[1, 1], [0, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(found["values"], [[47, 1], [47, 1], [40, 1], [43, 4]])
    np.testing.assert_array_equal(found["gaps"], [[0, 0], [3, 3], [4, 4], [2, 6]])
    np.testing.assert_array_equal(read(text, VISITS).inputs["gaps"], [[0], [3], [1], [2]])
    np.testing.assert_array_equal(found["days"], [[0], [3], [4], [6]])
    np.testing.assert_array_equal(found["person"], [1])


def test_what_is_filled_before_the_first_value():
    found = read("day,p,q,sex\n0,,1,m\n1,2,,m\n", VISITS).inputs
    np.testing.assert_array_equal(found["values"], [[0, 1], [2, 1]])
    plain = SeriesRead(tables=(Table(input="x", columns=("a", "b"), rows="all"),), missing="mask")
    np.testing.assert_array_equal(read("a,b\n1,\n,2", plain).inputs["x"], [[1, 0], [0, 2]])


def test_nothing_at_all_is_no_answer():
    with pytest.raises(InputError, match=r"has no value at all in 'p', 'q', so there is nothing to answer from"):
        read("day,p,q,sex\n0,,,m\n1,,,m\n", VISITS)
    needed = SeriesRead(
        tables=(Table(input="x", columns=("a", "b"), rows="all", fill="last", needed=("b",)),), missing="mask"
    )
    np.testing.assert_array_equal(read("a,b\n,1\n2,\n", needed).inputs["x"], [[0, 1], [2, 1]])
    with pytest.raises(
        InputError, match=r"no value in its first row of 'b', from which later gaps would be filled\. Begin"
    ):
        read("a,b\n1,\n2,3\n", needed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'x.csv' is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,c\n1,2\n", "lacks the column 'b'; it has 'a', 'c'"),
        ("a,b,a\n1,2,3\n", "has the column 'a' twice"),
        ("x,y\n1,2\n", "has the columns 'x', 'y'; wanted are 'a', 'b'. Name them"),
        ("1,2,3\n4,5,6\n", "has the columns '1', '2', '3'"),
        ("a,b\n1,2\n3\n", "row 2 of 'x.csv' has 1 cells, the header has 2"),
        ("a,b\n1,two\n", "column 'b', row 1 of 'x.csv' is 'two'; it must be a finite number"),
        ("a,b\n1,inf\n", "is 'inf'; it must be a finite number"),
        ("a,b\n1,2\n,4\n5,NA\n", "has no value in row 2 of 'a', row 3 of 'b'; this model takes no gaps"),
        ("a,b\n" + ",\n1,\n" * 5, "'x.csv' has no value in row 1 of 'a', .* and 10 more; this model takes no gaps"),
        (b"a,b\n\xff,2\n", "is no text in UTF-8"),
        (b"\x93NUMPY broken", "cannot be read as a NumPy array"),
    ],
)
def test_tables_that_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "hour,load,warm\n1,5,10\n2,6,11\n",
            AHEAD,
            "has 0 rows besides the 2 of the future; the model takes at least 1",
        ),
        ("hour,load,warm\n1,5,10\n2,6,11\n3,,\n", AHEAD, "has no value in row 3 of 'warm'"),
        (
            "hour,load,warm\n1,5,10\n3,6,11\n2,7,12\n",
            AHEAD,
            "'hour' of 'x.csv' goes back from 3 in row 2 to 2 in row 3",
        ),
        ("day,p,q,sex\n,1,1,f\n", VISITS, "row 1 of 'x.csv' has no 'day'"),
        ("day,p,q,sex\n1,1,1,x\n", VISITS, "is 'x'; it must be a finite number, or one of 'f', 'm'"),
    ],
)
def test_what_does_not_fit_the_description(text, kind, message):
    with pytest.raises(InputError, match=message):
        read(text, kind)


def test_too_few_rows():
    with pytest.raises(InputError, match="has 1 rows; the model takes at least 3"):
        read("a,b\n1,2\n", SeriesRead(tables=PLAIN.tables, least_rows=3))


def test_empty_lines():
    one = SeriesRead(tables=(Table(input="x", columns=("a",), rows="all"),), missing="mask")
    np.testing.assert_array_equal(read("a\n1\n\n3\n", one).inputs["x"], [[1], [0], [3]])
    np.testing.assert_array_equal(read("a,b\n\n1,2\n\n3,4\n\n").inputs["x"], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((3, 3)), ShapeError, r"is float64\[3, 3\]; it must be numbers of \(rows, 2\), the columns 'a', 'b'"),
        (np.zeros((0, 2)), InputError, "has 0 rows"),
        (np.full((2, 2), np.inf), InputError, "holds infinity"),
        (np.full((2, 2), np.nan), InputError, "has no value in row 1 of 'a'"),
        (np.array([["1", "2"]]), ShapeError, "must be numbers"),
        ({"a": [1]}, InputError, "lacks the column 'b'; it has 'a'"),
        ({"a": [1], "b": [1, 2]}, ShapeError, "have different shapes"),
    ],
)
def test_arrays_that_are_refused(array, error, message):
    with pytest.raises(error, match=message):
        read(array)
