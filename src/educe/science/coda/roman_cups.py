"""Oxide percentages of 47 Roman glass cups from Colchester.

Source of the measurements: Baxter, Beardah, Cool and Jackson (2005), Compositional data analysis of some
alkaline glasses, Mathematical Geology 37:183-196; also shipped as data set ``cups`` by the R package easyCODA.
Amounts are weight per cent, rounded to two decimals, which leaves manganese and phosphorus with few distinct values.
"""

from __future__ import annotations

import numpy as np

from educe.science._tables import PartTable

__all__ = ["roman_cups"]

_HUNDREDTHS = {
    "Si": "7520 7240 6990 7020 7300 7420 7420 7440 7280 7480 7500 7380 7030 7270 7430 7020 7310 7370 7330 7170 "
    "7370 7310 7300 6880 7020 7050 7270 7310 6930 7020 7440 7390 7260 6990 6970 7230 7050 7230 7220 7380 "
    "7240 7260 7160 7230 7340 7170 6930",
    "Al": "184 180 208 223 216 202 180 174 181 171 174 193 194 174 188 223 190 178 189 175 180 182 190 203 211 "
    "211 196 178 221 225 194 190 181 187 204 208 200 171 202 188 192 200 190 203 193 202 204",
    "Fe": "26 28 40 41 35 33 25 27 30 22 22 31 30 25 30 42 29 23 30 27 25 23 27 38 42 39 30 26 45 43 26 26 27 "
    "32 36 36 33 21 34 26 29 33 27 30 24 42 40",
    "Mg": "47 46 57 60 51 51 39 42 66 35 32 42 44 37 40 56 41 32 41 42 36 32 44 51 59 56 50 42 54 54 46 46 41 "
    "46 48 53 59 36 51 45 48 46 48 48 37 53 50",
    "Ca": "500 589 633 610 566 534 535 541 586 548 503 494 631 590 476 665 513 498 537 604 515 513 548 702 653 "
    "618 558 548 687 677 507 504 548 634 620 547 583 527 536 512 545 541 532 541 518 573 685",
    "Na": "1630 1820 1950 1950 1730 1650 1710 1680 1760 1630 1680 1760 1950 1780 1730 1870 1820 1810 1780 1900 "
    "1790 1840 1790 2000 1900 1910 1790 1790 1940 1870 1700 1760 1850 1980 1980 1800 1980 1880 1840 1760 "
    "1840 1770 1940 1860 1780 1830 1950",
    "K": "44 44 54 42 44 52 44 49 40 42 43 43 57 50 41 61 45 45 42 41 45 46 52 59 53 57 52 46 57 54 47 45 37 "
    "58 56 58 42 48 54 45 51 75 47 50 55 62 62",
    "Ti": "6 6 9 8 7 7 6 6 7 6 5 5 7 6 5 9 5 6 7 6 6 6 7 7 8 7 7 6 10 9 7 7 7 7 7 8 9 6 8 7 7 8 6 7 6 10 8",
    "P": "4 4 6 5 5 5 4 5 4 5 5 4 5 5 4 6 4 4 4 5 4 4 5 6 6 5 5 5 6 6 5 4 5 6 6 6 5 7 5 5 5 8 5 5 4 6 6",
    "Mn": "1 1 3 1 1 1 1 1 1 1 1 1 1 1 1 2 1 1 1 1 1 1 1 2 3 2 2 1 2 2 1 1 1 2 1 1 1 1 1 1 2 1 1 1 1 2 2",
    "Sb": "36 33 44 34 37 35 31 31 33 51 30 38 39 53 48 35 31 27 30 24 18 38 28 40 33 37 28 36 41 31 18 20 31 "
    "49 58 49 33 63 46 21 38 54 35 21 30 39 57",
}


def roman_cups() -> PartTable:
    """Return the table of the Roman glass cups.

    Returns
    -------
    PartTable
        ``amounts`` (47, 11) in weight per cent, and the names of the ``parts``.

    Examples
    --------
    >>> table = roman_cups()
    >>> table.amounts.shape, table.parts[:3]
    ((47, 11), ('Si', 'Al', 'Fe'))
    """
    columns = [[int(cell) / 100 for cell in row.split()] for row in _HUNDREDTHS.values()]
    return PartTable(np.array(columns).T, tuple(_HUNDREDTHS))
