"""Work that grows with the runs takes a bounded part of a sweep's time, and is never forgotten."""

from ablate.sweep.seldom import SHARE, Seldom


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_of_much_work_the_share_is_bounded_and_the_last_is_done():
    clock, done = Clock(), []

    def work() -> None:
        clock.now += 30.0  # seconds, as the report of ten thousand runs
        done.append(clock.now)

    seldom = Seldom(work, clock)
    for _ in range(3_600):  # a run ends every second
        clock.now += 1.0
        seldom.due()
        seldom.attempt()
    assert 0.8 * SHARE < 30.0 * len(done) / clock.now <= SHARE + 30.0 / clock.now
    before = len(done)
    for _ in range(600):  # nothing ends any more
        clock.now += 1.0
        seldom.attempt()
    assert len(done) == before + 1


def test_little_work_is_done_at_once():
    clock, done = Clock(), []

    def work() -> None:
        clock.now += 0.001
        done.append(clock.now)

    seldom = Seldom(work, clock)
    seldom.attempt()
    assert done == []  # nothing was due
    for second in range(10):
        clock.now = float(second)
        seldom.due()
        seldom.attempt()
    assert len(done) == 10
