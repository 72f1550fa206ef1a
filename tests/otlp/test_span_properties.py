"""Metadata, tags and baggage that an application put on its spans become keys of `metadata`."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import rows
from traces_support import GENAI, PROTOBUF, app_on, post

from tracker.otlp import decode
from tracker.otlp.reading.span_properties import MAX_PROPERTY_CHARS, read_properties
from tracker.otlp.reading.span_reader import read_span

OWN = {"source", "service", "trace_id", "span_id", "request_model", "response_id"}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def body_of(exporter):
    return encode_spans(exporter.get_finished_spans()).SerializePartialToString()


def read(attributes, names=()):
    """The properties of a span with these attributes, encoded and decoded as protobuf and as JSON."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("tests").start_span("chat", attributes={**GENAI, **attributes}).end()
    provider.shutdown()
    (span,) = decode.from_protobuf(body_of(exporter))
    properties = read_properties(span, names)
    metadata = read_span(span, names).record.usage.metadata
    assert {key: value for key, value in metadata.items() if key not in OWN} == {
        key: value for key, value in properties.items() if key not in OWN
    }
    return properties


@pytest.mark.parametrize(
    ("attributes", "properties"),
    [
        ({"metadata": '{"a": "b", "n": 1, "user_id": "u", "deep": {"a": 1}, "none": null}'}, {"a": "b", "n": 1}),
        ({"tag.tags": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"langfuse.trace.metadata.team": '"growth"', "langfuse.trace.metadata.n": "1"}, {"team": "growth", "n": "1"}),
        ({"langfuse.trace.tags": ["a,b"]}, {"tags": ["a,b"]}),
        ({"traceloop.association.properties.team": "growth"}, {"team": "growth"}),
        ({"traceloop.association.properties.tags": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"langsmith.metadata.team": "growth", "langsmith.span.tags": "a, b"}, {"team": "growth", "tags": ["a", "b"]}),
        ({"ai.telemetry.metadata.team": "a", "ai.telemetry.metadata.flags": [1, 2]}, {"team": "a", "flags": [1, 2]}),
        ({"ai.settings.context.plan": True, "mastra.metadata.n": 1.5}, {"plan": True, "n": 1.5}),
        ({"request_tags": "['a', 'b']", "metadata.requester_metadata": "{'n': 1}"}, {"tags": ["a", "b"], "n": 1}),
        ({"team": "growth", "tenant.id": "t", "Customer-Id": "c", "baggage.feature": "f"}, None),
        # Not properties: what frameworks add, what fills a column, a value that states nothing, nested objects.
        ({"langsmith.metadata.ls_model_name": "m", "langsmith.metadata.n": 1}, {}),
        ({"traceloop.association.properties.langgraph_step": 1, "langsmith.metadata.max_tokens": 9}, {}),
        ({"ai.telemetry.metadata.userId": "u", "ai.telemetry.metadata.threadId": "t"}, {}),
        ({"team": "", "feature": "undefined", "ai.telemetry.metadata.x": float("nan")}, {}),
        ({"metadata": "{broken", "langfuse.trace.metadata.team": '{"a": 1}', "tag.tags": []}, {}),
        ({"region": "kr", "app.area": "a"}, {}),
    ],
    ids=lambda value: "+".join(value)[:60] if isinstance(value, dict) else None,
)  # fmt: skip
def test_properties_of_the_conventions(attributes, properties):
    assert read(attributes) == (attributes if properties is None else properties)


def test_further_attributes_by_setting_come_first_and_may_be_of_the_resource():
    assert read({"region": "kr", "app.area": "a", "apple": 1}, ("region", "app.*", "telemetry.sdk.language")) == {
        "region": "kr",
        "app.area": "a",
        "telemetry.sdk.language": "python",
    }


def test_a_span_has_a_limit_of_properties():
    properties = read({f"ai.telemetry.metadata.k{number}": "x" * 1000 for number in range(120)})
    assert 0 < len(properties) <= 100
    assert sum(len(key) + len(value) for key, value in properties.items()) <= MAX_PROPERTY_CHARS
    assert len(read({f"ai.telemetry.metadata.k{number}": number for number in range(120)})) == 100
    odd = {'ai.telemetry.metadata.a.b"c': "x" * 10_000, "ai.telemetry.metadata.😀": "<b>", "metadata": "[" * 10_000}
    assert read(odd) == {'a.b"c': "x" * 10_000, "😀": "<b>"}


def test_copied_baggage_and_resource_attributes_are_stored(database_url, exporter):
    processor = pytest.importorskip("opentelemetry.processor.baggage")
    from opentelemetry.sdk.resources import Resource

    provider = TracerProvider(resource=Resource({"service.name": "shop", "deployment.environment.name": "staging"}))
    provider.add_span_processor(processor.BaggageSpanProcessor(processor.ALLOW_ALL_BAGGAGE_KEYS))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    token = context.attach(baggage.set_baggage("region", "kr", baggage.set_baggage("team", "growth")))
    provider.get_tracer("tests").start_span("chat", attributes=GENAI).end()
    context.detach(token)
    provider.shutdown()
    app = app_on(database_url, TRACKER_OTLP_PROPERTIES="region")
    assert post(app, body_of(exporter), PROTOBUF)[0] == 200
    columns = "environment, metadata ->> 'service', metadata ->> 'team', metadata ->> 'region'"
    assert rows(database_url, f"SELECT {columns} FROM token_usage") == [("staging", "shop", "growth", "kr")]


def test_openinference_and_langfuse_themselves(exporter, provider):
    import openai
    from api_server import running_api_server
    from langfuse import Langfuse, propagate_attributes
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor

    given = {"user_id": "u", "metadata": {"team": "growth", "n": "1"}, "tags": ["a", "b"]}
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    with running_api_server() as server, openai.OpenAI(api_key="k", base_url=server.url + "/v1") as client:
        with using_attributes(**given):
            client.embeddings.create(model="text-embedding-3-small", input="Hi")
        instrumentor.uninstrument()
        langfuse = Langfuse(public_key="pk", secret_key="sk", tracer_provider=provider, base_url=server.url)
        with (
            langfuse.start_as_current_observation(name="request"),
            propagate_attributes(**given),
            langfuse.start_as_current_observation(as_type="generation", name="call", model="gpt-5-mini") as call,
        ):
            call.update(usage_details={"input": 3, "output": 2})
        langfuse.shutdown()
    records = [read_span(span).record for span in decode.from_protobuf(body_of(exporter))]
    usages = [record.usage for record in records if record]
    assert [(usage.user_id, *map(usage.metadata.get, ("team", "n", "tags"))) for usage in usages] == [
        ("u", "growth", "1", ["a", "b"]),
        ("u", "growth", "1", ["a", "b"]),
    ]
