"""README and ARCHITECTURE are read by people who are new here, so their sentences are short."""

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
