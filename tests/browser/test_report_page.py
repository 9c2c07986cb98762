"""The page of a report, as a user sees it in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from maestro_es import ExecutionGraph, StudyStep
from maestro_es.core import events as e
from maestro_es.core.model import Param
from maestro_es.core.usage import Usage
from maestro_es.creation.create import create_log, make_directory
from maestro_es.study.invocation import Runtime
from maestro_es.study.session import Session
from tests.browser.conftest import write_report
from tests.e2e.command import maestro_es
from tools.testbed.past_study import make

pytestmark = pytest.mark.xdist_group("browser")

#: How many pixels of failed attempts on the timeline have another colour than that of a failure.
COVERED = """() => {
  const { story, timeline } = page;
  const [canvas, ratio] = [timeline.canvas, timeline.canvas.width / timeline.width];
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const [scale, place] = timeline.scales;
  const red = timeline.palette.kind[4].match(/[0-9a-f]{2}/gi).map((text) => parseInt(text, 16));
  const { started, ended, step } = story.attempt;
  let [failed, covered] = [0, 0];
  for (let at = 0; at < story.attempts; at++) {
    if (![4, 5].includes(story.kindOfAttempt(at))) continue;
    failed++;
    const x = Math.round(scale(story.data.start + started[at]) * ratio);
    const y = Math.round(place(timeline.first[story.template[step[at]]] + timeline.lane[at]) * ratio);
    const own = 4 * (Math.min(y, canvas.height - 1) * canvas.width + Math.min(x, canvas.width - 1));
    if (red.some((value, part) => pixels[own + part] !== value)) covered++;
  }
  return [failed, covered];
}"""


#: A study without parameters.
ONE = """\
description: {name: one, description: d}
study:
- {name: a, description: d, run: {cmd: "true"}}
"""

#: Show a share of the past, and return the moment.
GO_TO = "(share) => { page.show(page.story.end * share); return page.story.data.start + page.story.moment }"


def totals(page: Page) -> dict[str, int]:
    """Return how many steps the page shows in each state."""
    items = page.locator("#totals li").all()
    return {
        str(item.get_attribute("data-kind")): int(item.locator(".count").inner_text().replace(",", ""))
        for item in items
    }


def slide(page: Page, share: float) -> None:
    """Move the slider, as with the pointer."""
    box = page.locator("#slider").bounding_box()
    assert box
    page.mouse.click(box["x"] + 8 + (box["width"] - 16) * share, box["y"] + box["height"] / 2)
    wait(page)


def wait(page: Page) -> None:
    """Wait until the page shows the moment of the slider."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.locator("#resources:not([aria-busy])").wait_for(state="attached")


def events(page: Page) -> tuple[int, int]:
    """Return how many events are listed, and how many there are."""
    shown, of = re.fullmatch(r"([\d,]+) of ([\d,]+) events", page.locator("#found").inner_text()).groups()  # type: ignore[union-attr]
    return int(shown.replace(",", "")), int(of.replace(",", ""))


def test_the_page_says_what_the_status_says(opened, report, study):
    page = opened(report)
    sql = "SELECT state, count(*) AS steps FROM v_step GROUP BY state"
    states = {row["state"]: row["steps"] for row in json.loads(maestro_es("query", study, sql, "--json").stdout)}
    shown = totals(page)
    assert shown["finished"] == states["FINISHED"]
    assert (shown["timed out"], shown["failed"] + shown["not run"]) == (states.get("TIMEDOUT", 0), states["FAILED"])
    assert sum(shown.values()) == sum(states.values()) == 301
    assert page.locator("h1").inner_text() == "inverted meshes FAILURE"


def test_the_slider_shows_the_whole_page_as_of_a_moment(opened, report, photograph):
    page = opened(report)
    at_end = totals(page), events(page), page.locator("#resources").inner_text()
    assert page.locator("article.cause").is_visible()
    slide(page, 0.5)
    amid = totals(page)
    assert amid["finished"] < at_end[0]["finished"]
    assert amid["running"] > 0
    assert sum(amid.values()) == 301
    assert "before the end" in page.locator("#as-of").inner_text()
    assert events(page)[0] < at_end[1][0] == at_end[1][1]
    assert page.locator("#resources").inner_text() != at_end[2]
    assert f"{amid['running']} running" in " ".join(
        str(node.get_attribute("aria-label")) for node in page.locator(".diagram .node").all()
    )
    photograph(page, "half-way-1280")
    slide(page, 0.92)
    assert 0 < totals(page)["failed"] < at_end[0]["failed"]
    heading = page.locator("article.cause h3").inner_text()
    assert heading == f"{totals(page)['failed']} of {at_end[0]['failed']} \u00d7 exit code 3: mesh 191 is inverted"
    slide(page, 0)
    assert totals(page)["to submit"] == 301
    assert not page.locator("article.cause").is_visible()
    assert page.get_by_text("No step has failed.").is_visible()
    page.get_by_role("button", name="Last").click()
    wait(page)
    assert (totals(page), events(page), page.locator("#resources").inner_text()) == at_end


#: The pixels of the timeline and of the map, and the texts that the slider changes.
PICTURE = """() => [
  ...[...document.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL()),
  ...["#totals", "#as-of", "#found", "#events", "#resources"].map((part) => document.querySelector(part).innerText),
]"""


@pytest.mark.parametrize("which", ["report", "large_report"])
def test_a_moment_looks_the_same_from_the_past_and_from_the_future(which, opened, request):
    """The page applies or takes back the events between two moments, and paints only what differs from the end."""
    page = opened(request.getfixturevalue(which))
    pictures = []
    for way in ((0, 0.6), (1, 0.3, 0.7, 0.6)):
        for share in way:
            page.evaluate(GO_TO, share)
        wait(page)
        pictures.append(page.evaluate(PICTURE))
    page.evaluate("page.timeline.view = null; page.draw()")
    assert pictures[0] == pictures[1] == page.evaluate(PICTURE)


def test_each_moment_has_the_states_of_the_log(opened, report, study):
    """A step has finished at the time that its report gives."""
    sql = "SELECT json_extract(data, '$.at') / 1000 AS at FROM v_event WHERE type = 'StepFinished'"
    ends = [row["at"] for row in json.loads(maestro_es("query", study, sql, "--json").stdout)]
    page = opened(report)
    for share in (0.2, 0.5, 0.8):
        at = page.evaluate(GO_TO, share)
        assert totals(page)["finished"] == sum(end <= at for end in ends)


def test_keys_move_through_time(opened, report):
    page = opened(report)
    end = totals(page)
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    wait(page)
    assert totals(page)["to submit"] == 301
    page.keyboard.press("End")
    wait(page)
    assert totals(page) == end
    page.keyboard.press(",")
    assert totals(page) != end
    page.keyboard.press(".")
    assert totals(page) == end


def test_keys_open_a_template_and_its_steps(opened, report):
    page = opened(report)
    page.locator(".diagram .node").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#instances h3").inner_text() == "solve: each step"
    page.locator("#instances canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#instances output").inner_text() == "solve_SIZE.10.SEED.1: finished"
    page.keyboard.press("Enter")
    assert page.locator("#step-name").inner_text().startswith("solve_SIZE.10.SEED.1 ")
    page.keyboard.press("Escape")
    assert not page.locator("#step").is_visible()


def test_keys_move_over_the_map_and_the_timeline(opened, report):
    page = opened(report)
    page.locator("#parameters canvas").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    assert page.locator("#parameters output").inner_text() == "SIZE=100, SEED=0: 1 failed"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.locator("#timeline canvas").focus()
    page.keyboard.press("+")
    assert page.evaluate("page.timeline.transform.k") > 1.5
    page.keyboard.press("0")
    assert page.evaluate("page.timeline.transform.k") == 1


def test_a_filter_selects_steps_in_every_part(opened, report):
    page = opened(report)
    page.locator("#filter").fill("SIZE=100 solve")
    page.get_by_text("10 of 301 steps").wait_for()
    assert 0 < events(page)[0] < events(page)[1]
    page.locator("#filter").fill("")
    page.locator("#totals li[data-kind='not run']").click()
    page.get_by_text("11 of 301 steps").wait_for()
    assert page.locator("#totals li[data-kind='not run']").get_attribute("aria-pressed") == "true"
    assert events(page)[0] == 11 * 2  # each was added, and was not run


def test_events_are_found_by_their_words_and_lead_to_their_step(opened, report):
    page = opened(report)
    page.locator("#search").fill("node_fail")
    page.locator("#found", has_text=re.compile(r"^\d of")).wait_for()
    rows = page.locator("#events .event").all()
    assert rows
    assert all("hardware failure: NODE_FAIL (1 of 3)" in row.inner_text() for row in rows)
    rows[0].locator(".step").click()
    assert page.locator("#step table tbody tr").count() == 2
    assert "NODE_FAIL" in page.locator("#step").inner_text()
    assert "maestro-es why" in page.locator("#step").inner_text()


def test_a_failure_leads_to_its_step_and_shows_its_last_words(opened, report):
    page = opened(report)
    cause = page.locator("article.cause")
    assert cause.locator("h3").inner_text() == "10 \u00d7 exit code 3: mesh 191 is inverted"
    assert "10 of the 10 with SIZE = 100" in cause.inner_text()
    assert cause.locator("pre").inner_text().endswith("mesh 191 is inverted\n")
    cause.locator(".step").first.click()
    panel = page.locator("#step")
    assert "SIZE = 100, SEED = 0" in panel.inner_text()
    panel.get_by_role("button", name="mesh_SIZE.100.SEED.0").click()
    assert page.locator("#step-name").inner_text().startswith("mesh_SIZE.100.SEED.0 ")


#: How many pixels above the cells of the map are painted.
INK_ABOVE_CELLS = """(() => {
  const canvas = document.querySelector("#parameters canvas");
  const above = canvas.getContext("2d").getImageData(0, 0, canvas.width, 30).data;
  return above.filter((value, at) => at % 4 === 3 && value).length;
})()"""


@pytest.mark.parametrize("what", ["run", "queue", "exit", "attempts"])
def test_the_map_has_other_colours(what, opened, report, photograph):
    page = opened(report)
    before = page.evaluate("document.querySelector('#parameters canvas').toDataURL()")
    page.locator("#map-colour").select_option(what)
    assert page.evaluate("document.querySelector('#parameters canvas').toDataURL()") != before
    page.locator("#map-across").select_option("")
    assert page.evaluate("page.map.cells.length") == 10
    assert page.evaluate(INK_ABOVE_CELLS) > 100  # the values of the parameter
    if what == "run":
        photograph(page, "map-run-time")


@pytest.mark.parametrize("which", ["report", "large_report"])
def test_no_failure_disappears_under_its_neighbours(which, opened, request):
    failed, covered = opened(request.getfixturevalue(which)).evaluate(COVERED)
    assert failed >= 10
    assert covered == 0


def test_the_map_shows_all_of_its_cells(opened, large_report):
    page = opened(large_report)
    box = page.locator("#parameters .wide")
    assert box.evaluate("(box) => [box.scrollHeight - box.clientHeight, box.scrollWidth - box.clientWidth]") == [0, 0]


def test_a_short_list_of_events_begins_at_the_top(opened, report):
    page = opened(report)
    page.locator("#search").fill("StudyCreated")
    page.locator("#found", has_text=re.compile(r"^1 of")).wait_for()
    box, row = page.locator("#events").bounding_box(), page.locator("#events .event").bounding_box()
    assert box
    assert row
    assert row["y"] - box["y"] < 5


def test_the_pointer_finds_attempts_on_the_timeline(opened, report):
    page = opened(report)
    box = page.locator("#timeline canvas").bounding_box()
    assert box
    x, y = page.evaluate("""() => {
      const [scale, place] = page.timeline.scales, { story } = page, { started, ended, step } = story.attempt;
      const at = started.findIndex((_, one) => story.kindOfAttempt(one) === 4 && story.template[step[one]] === 1);
      const lane = page.timeline.first[1] + page.timeline.lane[at] + 0.5;
      return [scale(story.data.start + (started[at] + ended[at]) / 2), place(lane)];
    }""")
    page.locator("#timeline canvas").hover(position={"x": x, "y": y})
    assert re.match(
        r"solve_.*, attempt 1: .*; waited [\d.]+ (s|min), ran ", page.locator("#timeline-hint").inner_text()
    )
    page.mouse.click(box["x"] + x, page.locator("#timeline canvas").bounding_box()["y"] + y)
    assert page.locator("#step").is_visible()


def test_the_arrow_keys_move_from_attempt_to_attempt_and_back(opened, report):
    page = opened(report)
    hint = page.locator("#timeline-hint")
    page.locator("#timeline canvas").focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(hint.inner_text())
    assert seen[0] == seen[2] == seen[4]
    assert len(set(seen)) == 3
    assert all(re.match(r"mesh_.*, attempt 1: ", text) for text in seen)
    page.keyboard.press("+")
    page.keyboard.press("f")
    assert re.search("failed|timed out|NODE_FAIL", hint.inner_text())
    name = hint.inner_text().partition(",")[0]
    page.keyboard.press("Enter")
    assert page.locator("#step-name").inner_text().startswith(name)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement === page.timeline.canvas")


def test_the_arrow_keys_move_from_event_to_event(opened, report):
    page = opened(report)
    page.locator("#events").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    chosen = page.locator("#events .chosen")
    name = chosen.locator(".step").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#step-name").inner_text().startswith(f"{name} ")
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    assert "StepAdded" in chosen.inner_text()


#: The names of the element that has the focus, and whether a user sees that it has it.
FOCUSED = """() => {
  const own = document.activeElement;
  if (own === document.body) return null;
  const style = getComputedStyle(own.matches(".node") ? own.querySelector("rect") : own);
  const seen = own.matches(".node") ? style.strokeWidth === "3px" : style.outlineStyle !== "none";
  const name = own.getAttribute("aria-label") || own.labels?.[0]?.innerText || own.innerText;
  return [own.id || own.className.baseVal || own.className || own.tagName, seen, Boolean(name?.trim())];
}"""


def test_the_tab_key_reaches_each_part_which_has_a_name_and_a_frame(opened, report):
    page = opened(report)
    page.evaluate("page.expand(0)")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            break
        reached.append(focused)
    assert [one for one in reached if not all(one[1:])] == []
    assert {"slider", "filter", "node", "CANVAS", "map-down", "search", "events"} <= {one[0] for one in reached}
    canvases = page.locator("canvas").all()
    assert [canvas for canvas in canvases if len(canvas.get_attribute("aria-label") or "") < 20] == []


def test_without_javascript_the_end_can_be_read(opened, report, photograph):
    page = opened(report, scripts=False)
    text = page.locator("body").inner_text()
    assert "280 finished" in " ".join(text.split())
    assert "mesh 191 is inverted" in text
    assert page.locator(".diagram .node").count() == 4
    assert not page.locator("#timeline").is_visible()
    photograph(page, "without-javascript")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_fits_its_window(width, scheme, opened, report, large_report, photograph):
    for name, path in (("small", report), ("large", large_report)):
        page = opened(path, width=width, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        photograph(page, f"{name}-{width}-{scheme}")


def test_paper_shows_the_page_in_light_colours(opened, report, folder):
    page = opened(report, scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#slider").is_visible()
    assert page.locator("button:visible").count() == 0
    page.pdf(path=folder / "meshes.pdf")
    assert (folder / "meshes.pdf").stat().st_size > 20_000


def test_the_slider_costs_no_more_than_the_size_of_the_study(opened, report, large_report):
    def cost(path: Path) -> float:
        """Return the milliseconds of the fastest of some moves."""
        page = opened(path)
        moves: list[float] = page.evaluate("""() => Array.from({ length: 12 }, (_, part) => {
          const before = performance.now();
          page.show((page.story.end * part) / 12);
          return performance.now() - before;
        })""")
        return min(moves[4:])

    assert cost(large_report) < 60 * cost(report)


def test_a_study_that_runs_and_one_without_parameters_have_a_page(opened, folder, photograph):
    make(folder / "running", 30, 0.4)
    page = opened(write_report(folder, folder / "running"))
    shown = totals(page)
    assert shown["running"] > 0 < shown["to submit"]
    assert page.get_by_text("No step has failed.").is_visible()
    photograph(page, "running")
    (folder / "one.yaml").write_text(ONE)
    assert maestro_es("run", "-y", "--dry", "-o", folder / "one", folder / "one.yaml").returncode == 0
    page = opened(write_report(folder, folder / "one"))
    assert totals(page)["finished"] == 1
    assert not page.locator("#parameters").is_visible()


def test_a_parameter_may_have_very_many_values(opened, folder):
    """An array of more than some hundred thousand values can't be the arguments of a function of JavaScript."""
    values = 150_000
    creation: list[e.NewEvent] = [
        (None, e.StudyCreated(study_id="cafe" * 8, root=str(folder / "wide"), name="wide", adapter={"type": "local"})),
        (None, e.StepTemplateAdded(name="a", description="d", run={"cmd": "true"})),
    ]
    for number in range(1, values + 1):
        params = (Param("N", f"{number}", f"N.{number}", "N"), Param("M", "1", "M.1", "M"))
        creation.append((number, e.StepAdded(name=f"a_{number}", template="a", workspace=f"{number}", params=params)))
    create_log(make_directory(folder / "wide"), creation, Runtime())
    page = opened(write_report(folder, folder / "wide"))
    assert page.locator("#map-legend").inner_text() == "the first 2000 of 150,000 values of N"
    page.locator("#map-across").select_option("")
    assert page.locator("#map-legend").inner_text() == ""


def test_a_study_with_a_template_for_each_step_has_a_page(opened, folder):
    with ExecutionGraph.create(folder / "chain") as graph:
        graph.set_adapter({"type": "local"})
        with graph.batch():
            for name in map("step-{}".format, range(400)):
                graph.add_step(name, StudyStep(name, "d", {"cmd": "true"}), name, 0)
    page = opened(write_report(folder, folder / "chain"))
    assert page.get_by_text("No diagram: it would have 400 boxes.").is_visible()
    assert not page.locator("#timeline").is_visible()
    assert totals(page)["to submit"] == 400


def test_what_steps_have_used_is_on_the_page_once_the_log_has_it(opened, folder, report):
    """On a busy machine the log of a local run may lack the memory, so this test makes the event."""
    make(folder / "used", 3)
    with Session(folder / "used") as study:
        seen = study.log.query("SELECT json_extract(data, '$.token') FROM event WHERE type = 'StepFinished'")
        usage = Usage(cpu=90_000_000, memory=60 * 2**20, nodes=2)
        study.log.append([(1, e.UsageReported(token=str(seen[0][0]), usage=usage))])
    page = opened(write_report(folder, folder / "used"))
    wait(page)
    cells = page.locator("#resources").inner_text()
    assert "CPU time of all" in cells
    assert "60 MiB" in cells
    page.locator("#events .step", has_text="mesh_").first.click()
    assert "60 MiB" in page.locator("#step table").inner_text()
    page = opened(report)
    wait(page)
    assert "Memory" not in page.locator("#resources").inner_text()
