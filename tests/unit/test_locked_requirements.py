"""The image's packages are those of constraints.txt, each with its hashes, and none is missing."""

from __future__ import annotations

from docker import lock


def test_given_the_lock_of_the_image_then_it_names_what_the_image_needs_as_tested() -> None:
    text, pinned = lock.LOCK.read_text(), lock.pins()
    locked = lock.locked(text)
    assert text.count("==") == len(locked)
    assert set(locked) == lock.closure() | set(lock.BUILD)  # run `python docker/lock.py`
    assert {name: version for name, (version, _) in locked.items() if name not in lock.BUILD} == {
        name: pinned[name] for name in lock.closure()
    }
    assert all(
        1 <= len(hashes) <= len(lock.MACHINES) * len(lock.PYTHONS) for _, hashes in locked.values()
    )
    assert len(locked) > 40
