"""A browser, and reports of studies with a past. Without Chromium these tests are skipped, or fail if CI is set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.command import maestro_es
from tools.testbed.browsers import NO_BROWSER, find_browser
from tools.testbed.past_study import make

#: Where the tests keep pictures of what they have seen. git ignores it.
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"

#: Run in each page before its scripts: note what the page is not allowed to do.
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser. As root, it can't have its own sandbox."""
    path = find_browser()
    if path is None and os.environ.get("CI"):
        pytest.fail(NO_BROWSER)
    if path is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield browser
        browser.close()


Opener = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """A function that opens a report and waits until it is drawn. Afterwards, nothing may have gone wrong in it."""
    pages: list[Page] = []
    problems: list[str] = []

    def open_page(path: Path, *, width: int = 1280, scheme: str = "light", scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
            offline=True,
        )
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: problems.append(request.url) if request.url != path.as_uri() else None)
        page.add_init_script(NOTE_VIOLATIONS)
        page.goto(path.as_uri())
        pages.append(page)
        if scripts:
            page.locator("html[data-ready=yes]").wait_for(state="attached", timeout=60_000)
        return page

    yield open_page
    for page in pages:
        if page.locator("html[data-ready=yes]").count():
            problems += page.evaluate("window.violations")
        page.context.close()
    assert problems == []


def write_report(folder: Path, study: Path) -> Path:
    """Write the report of a study with the installed program."""
    path = folder / f"{study.name}.html"
    done = maestro_es("report", study, "-o", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: written\n"), done.stderr
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for all studies and reports."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="session")
def study(folder: Path) -> Path:
    """A study of 301 steps, of which some have failed."""
    make(folder / "meshes", 300)
    return folder / "meshes"


@pytest.fixture(scope="session")
def report(folder: Path, study: Path) -> Path:
    """The report of this study."""
    return write_report(folder, study)


@pytest.fixture(scope="session")
def large_report(folder: Path) -> Path:
    """The report of a study of 10,000 steps."""
    make(folder / "large", 10_000)
    return write_report(folder, folder / "large")


@pytest.fixture
def photograph() -> Callable[[Page, str], None]:
    """A function that keeps a picture of a whole page."""

    def keep(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return keep
