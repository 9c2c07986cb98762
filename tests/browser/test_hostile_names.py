"""Whatever users, schedulers and programs have named or written: in a report it is text."""

from __future__ import annotations

import pytest

from maestro_es.core import events as e
from maestro_es.core.model import Cause, Param, SubmissionKind
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.browser.conftest import NOTE_VIOLATIONS, write_report

pytestmark = pytest.mark.xdist_group("browser")

NAMES = (
    "</script><script>window.taken = 1</script>",
    '"><img src=x onerror="window.taken = 1">',
    "</style></title></textarea><svg onload='window.taken = 1'>",
    "{{ 7 * 7 }}{% raw %}${window.taken = 1}`",
    "]]><!-- &lt;b&gt; --!>",
    "esc\x1b[31m bell\x07 csi\x9b31m nul\x01",
    "right\u202eto\u2066left\u200b end",
    "line\u2028break\nand more",
    "__proto__",
    "constructor",
    "javascript:window.taken=1",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The report of a study in which everything has such a name."""
    folder = tmp_path_factory.mktemp("hostile")
    root = folder / "study <b>&"
    creation: list[e.NewEvent] = [
        (
            None,
            e.StudyCreated(
                study_id="feed" * 8, root=str(root), name=NAMES[0], description=NAMES[1], adapter={"type": "local"}
            ),
        )
    ]
    for number, name in enumerate(NAMES, 1):
        creation.append((None, e.StepTemplateAdded(name=name, description=name, run={"cmd": "false"})))
        params = (Param(name, NAMES[-number], name, name), Param("SIZE", NAMES[number - 1], NAMES[number - 1], "SIZE"))
        creation.append((number, e.StepAdded(name=f"{name}.", template=name, workspace=f"w{number}", params=params)))
    create_log(make_directory(root), creation, Runtime())
    with Session(root) as study:
        for number, name in enumerate(NAMES, 1):
            token, at = f"feedfeed-{number}-1-x", study.runtime.now()
            study.log.append([
                (number, e.SubmissionRequested(attempt=1, token=token, kind=SubmissionKind.FIRST)),
                (number, e.JobSubmitted(token=token, job_id=f"7{name}", host=name)),
                (number, e.JobDelayed(token=token, reason=name)),
                (number, e.StepFailed(token=token, at=at, cause=Cause.EXIT_CODE, message=name, exit_code=3)),
            ])  # fmt: skip
            folder_of = study.dir.path(f"w{number}")
            folder_of.mkdir()
            (folder_of / f"{name.replace('/', '_')}..err").write_text(f"{name}\n")
        for step in study.graph.steps():
            (study.dir.path(step.workspace) / f"x.{step.job_id.replace('/', '_')}.err").write_text(f"{step.name}\n")
    return write_report(folder, root)


def test_names_are_texts_on_the_page(hostile, opened, photograph):
    page = opened(hostile)
    assert page.evaluate("window.taken") is None
    assert page.locator("img, svg svg, main script, textarea").count() == 0
    assert page.locator("article.cause").count() == len(NAMES)
    page.locator(".diagram .node").first.click()
    for number in range(len(NAMES)):
        page.evaluate("(number) => page.openStep(number)", number)
        assert page.locator("#step-name").inner_text()
    page.locator("#filter").fill("__proto__")
    page.get_by_text(f"1 of {len(NAMES)} steps").wait_for()
    page.locator("#filter").fill("")
    page.locator("#search").fill("</script>")
    page.locator("#events .event").first.wait_for()
    page.locator("#map-down").select_option(index=3)
    page.locator("#parameters canvas").focus()
    page.keyboard.press("ArrowRight")
    photograph(page, "hostile-names")
    assert page.evaluate("window.taken") is None
    assert page.locator("img, svg svg, main script, textarea").count() == 0


def test_control_characters_do_not_reach_the_file(hostile):
    text = hostile.read_text("utf-8")
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    assert text.count("<script") == 3
    assert "esc?[31m bell? csi?31m" in text


def test_the_policy_allows_nothing_but_the_scripts_of_the_page(hostile, browser):
    page = browser.new_page()
    page.add_init_script(NOTE_VIOLATIONS)
    page.goto(hostile.as_uri())
    page.locator("html[data-ready=yes]").wait_for(state="attached", timeout=60_000)
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none';")
    assert "unsafe" not in policy
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.taken = 1";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<p onclick='window.taken = 1'>x</p><img src=data.png>");
      document.body.querySelector("p:last-of-type").click();
    }""")
    page.wait_for_timeout(100)
    assert page.evaluate("window.taken") is None
    assert len(page.evaluate("window.violations")) == 3
    page.close()
