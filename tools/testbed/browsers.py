"""Finds the browser of the tests, and says what is missing."""

from __future__ import annotations

import shutil

NO_BROWSER = "There is no Chromium (Debian: apt install chromium)."
NO_NPM = "There is no npm, so it is not known whether d3.js is what tools/page-library makes."


def find_browser() -> str | None:
    """Return the path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
