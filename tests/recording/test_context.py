"""`recorder.context` and `recorder.bind`: the fields that calls get from the code around them."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import a_call, rows, value

from tracker import TokenUsage, Tracker, UsageError, UsageTypeError
from tracker.recording.context import current_context


def fields_of(url):
    """User, session, provider, operation and metadata of the rows, in the order in which they were recorded."""
    columns = "user_id, session_id, provider, operation, metadata"
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY sequence")


def teams(url):
    return [row[0] for row in rows(url, "SELECT metadata ->> 'team' FROM token_usage ORDER BY sequence")]


def test_a_context_fills_columns_and_metadata_of_every_call_inside(recorder, database_url):
    recorder.record(a_call())
    with recorder.context(user_id="u_1", session_id="s_1", operation="search", provider="azure", team="growth"):
        recorder.record(a_call())
        recorder.record_many([a_call(metadata={"team": "own", "n": 1}), a_call(user_id="u_2", operation="tags")])
        recorder.record_response({"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}, session_id="s_2")
        with recorder.track(user_id="u_3") as call:
            call.response = a_call(session_id="s_3")
        with pytest.raises(KeyError), recorder.track(operation="failing", metadata={"feature": "x"}):
            raise KeyError
    recorder.record(a_call())
    assert fields_of(database_url) == [
        ("anonymous", None, None, "chat", {}),
        ("u_1", "s_1", "azure", "search", {"team": "growth"}),
        ("u_1", "s_1", "azure", "search", {"team": "own", "n": 1}),
        ("u_2", "s_1", "azure", "tags", {"team": "growth"}),
        ("u_1", "s_2", "azure", "search", {"team": "growth"}),
        ("u_3", "s_3", "azure", "search", {"team": "growth"}),
        ("u_1", "s_1", "azure", "failing", {"team": "growth", "feature": "x", "usage_problem": "response_missing"}),
        ("anonymous", None, None, "chat", {}),
    ]


def test_nested_contexts_add_up_for_all_trackers(recorder, new_tracker, database_url):
    other = new_tracker(mode="direct")
    with recorder.context(user_id="outer", team="growth", plan="free"):
        with other.context(user_id="inner", plan="paid", feature=None), recorder.context():
            other.record(a_call())
        recorder.record(a_call())
    assert fields_of(database_url) == [
        ("inner", None, None, "chat", {"team": "growth", "plan": "paid"}),
        ("outer", None, None, "chat", {"team": "growth", "plan": "free"}),
    ]


def test_a_given_field_wins_even_if_it_equals_the_default(recorder, database_url):
    given = {"user_id": "anonymous", "session_id": None, "provider": None, "operation": "chat"}
    with recorder.context(user_id="u", session_id="s", provider="p", operation="o"):
        recorder.record(a_call(**given))
        recorder.record(pickle.loads(pickle.dumps(a_call(session_id=None))))
        recorder.record(dataclasses.replace(a_call(user_id="anonymous"), model="m", operation="chat"))
        recorder.record(dataclasses.replace(a_call(), session_id="own"))
        recorder.record(copy.deepcopy(a_call()))
        with recorder.track(user_id="anonymous") as call:
            call.response = a_call(operation="chat")
    assert fields_of(database_url) == [
        ("anonymous", None, None, "chat", {}),
        ("u", None, "p", "o", {}),
        ("anonymous", "s", "p", "o", {}),
        ("u", "own", "p", "o", {}),
        ("u", "s", "p", "o", {}),
        ("anonymous", "s", "p", "chat", {}),
    ]


def test_what_was_given_changes_neither_equality_nor_representation_nor_fields():
    usage = a_call()
    given = TokenUsage(**usage.as_row())
    assert given == usage
    assert repr(given) == repr(usage)
    assert hash(given) == hash(usage)
    defaults = {field.name: field.default for field in dataclasses.fields(TokenUsage)}
    assert (defaults["user_id"], defaults["session_id"], defaults["operation"]) == ("anonymous", None, "chat")
    assert "_source" not in defaults
    # As a version before contexts pickled it: without the names of the given fields.
    function, arguments, _ = usage.__reduce__()
    assert function(*arguments) == usage
    assert pickle.loads(pickle.dumps(function(*arguments))) == usage


@pytest.mark.parametrize("name", ["model", "input_tokens", "metadata", "cost", "id", "is_test", "success"])
def test_another_field_of_a_call_is_refused_with_a_sentence(recorder, name):
    with pytest.raises(UsageTypeError, match=rf"no field '{name}'.*user_id, session_id, provider, operation; every"):
        recorder.context(**{name: 1})
    with pytest.raises(UsageTypeError, match=name):
        recorder.bind([1], **{name: 1})


def test_values_are_checked_as_those_of_a_call(recorder, database_url):
    for fields, error in (
        ({"user_id": 42}, UsageTypeError),
        ({"user_id": " "}, UsageError),
        ({"x": object()}, UsageTypeError),
        ({"x": float("nan")}, UsageError),
    ):
        with pytest.raises(error):
            recorder.context(**fields)
    many = {f"key {number}": number for number in range(300)}
    odd = {"a.b": {"c": [1]}, 'a"b': "x" * 10_000, "😀": "\0", "self": True, "iterator": 1.5, "fields": "f"}
    tags = ["a"]
    with recorder.context(**many, **odd, tags=tags):
        tags.append("later")
        recorder.record(a_call())
    stored = value(database_url, "SELECT metadata FROM token_usage")
    assert stored == {**many, **odd, "😀": "\ufffd", "tags": ["a"]}
    assert list(recorder.bind([1], iterator="x")) == [1]


def test_tasks_and_threads_with_a_copied_context_keep_it(recorder, new_tracker, database_url):
    async def call(team, started):
        async with recorder.context(team=team):
            started.set()
            await asyncio.sleep(0)
            await recorder.arecord(a_call())
            await asyncio.to_thread(recorder.record, a_call())
            return asyncio.create_task(late())

    async def late():
        await asyncio.sleep(0.05)  # the block has ended, in the context of its own
        await recorder.arecord(a_call())

    async def main():
        tasks = await asyncio.gather(*(call(f"t{number}", asyncio.Event()) for number in range(20)))
        await asyncio.gather(*tasks)
        await recorder.arecord(a_call())

    asyncio.run(main())
    assert sorted(filter(None, teams(database_url))) == sorted(f"t{number}" for number in range(20) for _ in range(3))
    with ThreadPoolExecutor(1) as pool, recorder.context(team="copied"):
        pool.submit(contextvars.copy_context().run, recorder.record, a_call()).result()
        pool.submit(recorder.record, a_call()).result()  # without a copy, a thread has no context
        pending = recorder.arecord(a_call())  # without a running event loop; it starts later
    asyncio.run(pending)
    assert teams(database_url)[-4:] == [None, "copied", None, "copied"]


def test_the_context_is_that_of_the_start_of_a_call(recorder, database_url):
    def chunks():
        yield {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}

    with recorder.context(team="start"), recorder.track() as call:
        call.response = chunks()
    with recorder.context(team="reader", feature="reader"):
        assert list(call.response)
    with recorder.context(team="made"):
        unentered = recorder.track()
    with recorder.context(team="entered"), unentered as call:
        call.response = a_call()
    assert [metadata for *_, metadata in fields_of(database_url)] == [{"team": "start"}, {"team": "entered"}]


# --- contexts that are left elsewhere -----------------------------------------------------------------------------


def assert_no_context():
    assert current_context().columns == {}
    assert current_context().metadata == {}


def test_an_abandoned_generator_leaks_nothing_once_it_is_closed(recorder):
    def stream(team):
        with recorder.context(team=team):
            yield 1
            yield 2

    first, second = stream("a"), stream("b")
    next(first)
    next(second)
    first.close()  # in another order than they were entered
    assert current_context().metadata == {"team": "b"}
    del second
    assert_no_context()
    third = stream("c")
    next(third)
    holder = [third]
    holder.append(holder)
    del third, holder
    thread = threading.Thread(target=gc.collect)  # closes the generator in another thread and context
    thread.start()
    thread.join()
    assert_no_context()
    with recorder.context(team="d"):
        assert current_context().metadata == {"team": "d"}
    assert_no_context()


def test_leaving_in_another_context_thread_or_task_never_raises(recorder):
    block = recorder.context(team="x")
    block.__exit__(None, None, None)  # never entered
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert_no_context()
    block.__enter__()
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert_no_context()
    with block, block:  # the same block can be entered again
        assert len(current_context().entries) == 2
    with pytest.raises(KeyError), block:
        raise KeyError
    assert_no_context()

    async def main():
        async def stream():
            async with recorder.context(team="task"):
                yield 1
                yield 2

        chunks = stream()
        assert await anext(chunks) == 1
        await asyncio.create_task(chunks.aclose())
        assert_no_context()

    asyncio.run(main())


def test_a_context_of_a_thousand_abandoned_generators_stays_small(recorder):
    def stream():
        with recorder.context(team="x"):
            yield

    def abandon():
        chunks = stream()
        next(chunks)
        contextvars.copy_context().run(chunks.close)

    contextvars.copy_context().run(lambda: [abandon() for _ in range(1000)])
    for _ in range(3):
        abandon()
    with recorder.context(team="y"):
        assert len(current_context().entries) == 1


# --- bind ---------------------------------------------------------------------------------------------------------


def test_a_bound_generator_has_its_context_only_during_its_steps(recorder, database_url):
    ended = []

    def stream():
        try:
            recorder.record(a_call())
            with recorder.context(feature="inside"):
                sent = yield 1
                recorder.record(a_call(operation=sent))
                try:
                    yield 2
                except KeyError:
                    recorder.record(a_call(operation="thrown"))
                yield 3
        finally:
            ended.append(dict(current_context().metadata))

    bound = recorder.bind(stream(), team="growth", user_id="u")
    with recorder.context(plan="free"):
        assert next(bound) == 1
        assert current_context().metadata == {"plan": "free"}
    assert bound.send("sent") == 2
    assert_no_context()
    assert contextvars.copy_context().run(bound.throw, KeyError()) == 3  # as a server does in a pool of threads
    bound.close()
    assert_no_context()
    assert ended == [{"team": "growth"}]
    assert list(bound) == []
    assert [(operation, metadata) for _, _, _, operation, metadata in fields_of(database_url)] == [
        ("chat", {"team": "growth", "plan": "free"}),
        ("sent", {"team": "growth", "feature": "inside"}),
        ("thrown", {"team": "growth", "feature": "inside"}),
    ]


def test_bind_takes_any_iterator_and_closes_it(recorder):
    class Body:
        """A WSGI body: the iterable is closed, not its iterator."""

        closed_in = None

        def __iter__(self):
            return iter([current_context().metadata["team"]])

        def close(self):
            self.closed_in = dict(current_context().metadata)

    body = Body()
    bound = recorder.bind(body, team="x")
    assert (list(bound), bound.closed_in) == (["x"], None)  # other attributes are those of the iterator
    bound.close()
    assert body.closed_in == {"team": "x"}
    assert list(recorder.bind("ab")) == ["a", "b"]
    recorder.bind([1]).close()
    with pytest.raises(UsageTypeError, match="bind takes an iterator"):
        recorder.bind(7)
    with pytest.raises(ZeroDivisionError):
        next(recorder.bind(1 / 0 for _ in "a"))
    assert_no_context()


def test_a_bound_asynchronous_generator_has_its_context_only_during_its_steps(recorder, database_url):
    ended = []

    async def stream():
        try:
            await recorder.arecord(a_call())
            yield 1
            await asyncio.sleep(10)
        finally:
            ended.append(dict(current_context().metadata))

    async def main():
        bound = recorder.bind(stream(), team="growth")
        assert await anext(bound) == 1
        assert_no_context()
        step = asyncio.ensure_future(anext(bound))
        await asyncio.sleep(0.01)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        left = recorder.bind(stream(), team="left")
        assert await left.asend(None) == 1
        await asyncio.create_task(left.aclose())
        assert_no_context()
        assert [chunk async for chunk in left] == []

    asyncio.run(main())
    assert ended == [{"team": "growth"}, {"team": "left"}]
    assert teams(database_url) == ["growth", "left"]


def test_background_mode_and_its_outbox_keep_the_context(new_tracker, database_url, tmp_path):
    with Tracker(mode="background", database_url=database_url, outbox=str(tmp_path / "o.db")) as recorder:
        with recorder.context(team="growth", session_id="s"):
            assert recorder.record(a_call()).status == "queued"
        recorder.flush()
    assert fields_of(database_url) == [("anonymous", "s", None, "chat", {"team": "growth"})]
