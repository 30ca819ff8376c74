"""What another process writes is asked for until it is there, and a half line is none."""

from __future__ import annotations

from pathlib import Path
from threading import Timer

from tests.support.files import changed_at, lines_of, said_in, text_of


def test_given_a_file_that_is_not_there_yet_then_it_is_empty_and_was_never_written(
    tmp_path: Path,
) -> None:
    assert (
        text_of(tmp_path / "none") == ""
        and lines_of(tmp_path / "none") == []
        and changed_at(tmp_path / "none") == 0
    )


def test_given_a_line_that_is_half_written_then_only_whole_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntw")
    assert lines_of(tmp_path / "log") == ["one"] and text_of(tmp_path / "log") == "one\ntw"
    assert changed_at(tmp_path / "log") > 0


def test_given_a_process_that_says_later_where_it_is_then_that_is_waited_for(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bank.url"
    later = Timer(0.1, lambda: file.write_text("http://127.0.0.1:1\n"))
    later.start()
    assert said_in(file, "the bank") == "http://127.0.0.1:1"
    later.join()
