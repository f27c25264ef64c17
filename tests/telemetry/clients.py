"""Applications that write traceparent into comments of their queries: one with OpenTelemetry's own
instrumentation of psycopg, one that does it by hand with asyncpg. They write what they asked, and for
which span, as lines of JSON."""

import asyncio
import json
import sys

import asyncpg
import psycopg
from opentelemetry import trace
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

url = sys.argv[1]


class Lines(SpanExporter):
    """Of the instrumentation's own spans: it makes one for each query."""

    def export(self, spans: list[ReadableSpan]):
        for span in spans:
            if "db.statement" in span.attributes:
                tell("psycopg", span.attributes["db.statement"], span.context)
        return SpanExportResult.SUCCESS


def tell(client, query, context):
    line = {"client": client, "query": query, "trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}
    print(json.dumps(line), flush=True)


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Lines()))
trace.set_tracer_provider(provider)
PsycopgInstrumentor().instrument(enable_commenter=True)

with psycopg.connect(url, autocommit=True) as connection:
    with connection.cursor() as cursor:
        for number in (1, 2, 3):
            cursor.execute("SELECT name FROM item WHERE id = %s", (number,))
            cursor.fetchall()
        cursor.execute("UPDATE item SET name = 'changed' WHERE id = 3")
        try:
            cursor.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass


async def by_hand():
    connection = await asyncpg.connect(url)
    tracer = trace.get_tracer("by hand")
    for number in (1, 2, 3):
        with tracer.start_as_current_span("ask") as span:
            context = span.get_span_context()
            parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
            query = f"SELECT id FROM item WHERE id = $1 /*route='%2Fitem',traceparent='{parent}'*/"
            await connection.fetch(query, number)
            tell("asyncpg", query, context)
    await connection.close()


asyncio.run(by_hand())
