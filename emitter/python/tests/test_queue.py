"""The queue between requests' threads and the writer."""

import threading

from reassemble_emitter.queue import CLOSING_BYTES, Queue
from reassemble_emitter.writer import Track


def rings(queue):
    return queue._bell.acquire(blocking=False)


def test_the_limit_counts_costs_and_kept_room():
    queue = Queue(4096)
    first, second = Track("a", True), Track("b", True)
    assert queue.admit(first, ("begin",), 1000) and first.n == 1
    assert not queue.push(("body",), 4096 - 1000 - CLOSING_BYTES + 1)
    assert queue.push(("body",), 1000)
    assert not queue.admit(second, ("begin",), 100) and second.n == 0
    queue.push_reserved(("end",))
    assert queue.take() == (2000, [("begin",), ("body",), ("end",)])
    queue.release(2000 + CLOSING_BYTES)
    assert queue.admit(second, ("begin",), 0) and second.n == queue.admitted == 2


def test_a_closed_queue_refuses():
    queue = Queue(4096)
    queue.close()
    assert not queue.push(("body",), 1) and not queue.admit(Track("a", True), ("begin",), 1) and not queue.reserve(1)
    queue.push_reserved(("end",))
    assert queue.take() == (0, [])


def test_who_lingers_is_woken_by_a_queue_half_full_alone():
    queue = Queue(4096)
    queue._wake_above = queue._limit // 2
    queue.push(("body",), 2048)
    assert not rings(queue)
    queue.push(("body",), 1)
    assert rings(queue)
    # It is awake now.
    queue.push(("body",), 1)
    assert not rings(queue)


def test_no_message_is_slept_through():
    queue = Queue(1 << 30)
    seen = []

    def write():
        while len(seen) < 3000:
            seen.extend(queue.take()[1])
            if len(seen) < 3000:
                # So that it sleeps for good, and not only lingers.
                queue._idle_rounds = len(seen) % 20
                queue.wait(3600, False)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    pause = threading.Event()
    for n in range(3000):
        queue.push((n,), 1)
        if n % 50 == 0:
            pause.wait(0.002)
    writer.join(timeout=60)
    assert seen == [(n,) for n in range(3000)]
