"""The documents are read by people who are new here, so their sentences are short and plain."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What isn't prose: fenced and indented code, tables, headings, HTML comments.
FENCES = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
NO_PROSE = re.compile(r"^(?:    .*|\|.*|#.*|<!--.*)$", re.MULTILINE)

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]

#: Words that make a reader stop, and plain ones.
PLAIN = {
    r"anew": "again",
    r"nobody (?:knows|has)": "unknown",
    r"what (?:came|comes|became|becomes) of": "outcome",
    r"is to be \w+ed": "will be",
    r"but for": "except",
    r"so many": "the number",
    r"likewise": "the same",
    r"(?:go|goes|gone) on with": "continue",
    r"put back in the queue": "requeued",
    r"in the midst of": "during",
    r"no word of": "unknown",
}


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a Markdown page. A paragraph and an item of a list end one, whatever stands there."""
    prose = NO_PROSE.sub("", FENCES.sub("", text))
    for block in re.split(r"\n\s*\n|\n(?=- |\d+\. )", prose):
        line = re.sub(r"^(?:- |\d+\. )", "", " ".join(block.split()))
        line = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)  # of a link, its text
        line = re.sub(r"`[^`]*`", "code", line)
        yield from filter(None, re.split(r"(?<=[.!?])[*)\"]*\s+(?=[\"(*]*(?:[A-Z]|code\b))", line))


def words(sentence: str) -> int:
    """Return the number of words; inline code is one."""
    return len(re.findall(r"[\w$%][\w$%'./-]*", sentence))


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_half_of_the_sentences_have_fewer_than_17_words_and_nine_of_ten_fewer_than_34(page: str):
    lengths = sorted((words(sentence), sentence) for sentence in sentences((ROOT / page).read_text()))
    counts = [length for length, _ in lengths]
    median, ninth = statistics.median(counts), counts[len(counts) * 9 // 10]
    print(f"{page}: {len(counts)} sentences, median {median} words, 90 % up to {ninth}")  # noqa: T201 - shown by -rP
    print(*(f"  {length}: {sentence}" for length, sentence in lengths[-5:]), sep="\n")  # noqa: T201 - likewise

    assert len(counts) > 50
    assert median < 17
    assert ninth < 34


def test_code_tables_and_headings_are_no_sentences():
    page = "# A\n\nOne `x y` two. Three [four](five)!\n\n    code\n\n| a | b |\n\n- six\n  seven\n- ten\n"
    assert [*sentences(page)] == ["One code two.", "Three four!", "six seven", "ten"]
    assert [words(sentence) for sentence in sentences(page)] == [3, 2, 2, 1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_words_for_which_there_are_plain_ones(page: Path):
    prose = re.sub(r"^    .*|`[^`]*`", "", FENCES.sub("", page.read_text()), flags=re.MULTILINE)
    found = re.findall(rf"\b(?:{'|'.join(PLAIN)})\b", " ".join(prose.split()), re.IGNORECASE)
    assert not found, f"better: {PLAIN}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_blank_line_cuts_a_table_in_two(page: Path):
    tables = re.findall(r"(?<!\|\n)^\|.*\n(.*)", FENCES.sub("", page.read_text()), re.MULTILINE)
    assert [second for second in tables if not re.match(r"\|[ :|-]+\|$", second)] == []
