"""A collector: takes OTLP over HTTP, and writes what it was sent as lines of JSON.

Its first line is its port. A file beside it named by the argument, while it is there, makes it answer 503.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

busy = sys.argv[1]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def span(one):
    return {
        "trace": one.trace_id.hex(),
        "span": one.span_id.hex(),
        "parent": one.parent_span_id.hex(),
        "name": one.name,
        "kind": one.kind,
        "flags": one.flags,
        "start": one.start_time_unix_nano,
        "end": one.end_time_unix_nano,
        "status": one.status.code,
        "attributes": attributes(one.attributes),
    }


def points(metric):
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    for point in data.data_points:
        value = {"attributes": attributes(point.attributes)}
        if kind == "exponential_histogram":
            value |= {
                "count": point.count,
                "sum": point.sum,
                "scale": point.scale,
                "zero": point.zero_count,
                "offset": point.positive.offset,
                "buckets": list(point.positive.bucket_counts),
            }
        else:
            value["value"] = getattr(point, point.WhichOneof("value"))
        yield value


def traces(body):
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        yield {
            "resource": attributes(resource.resource.attributes),
            "spans": [span(one) for scope in resource.scope_spans for one in scope.spans],
        }


def metrics(body):
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        yield {
            "resource": attributes(resource.resource.attributes),
            "metrics": {
                metric.name: {"kind": metric.WhichOneof("data"), "unit": metric.unit, "points": list(points(metric))}
                for scope in resource.scope_metrics
                for metric in scope.metrics
            },
        }


PATHS = {
    "/v1/traces": (traces, ExportTraceServiceResponse),
    "/v1/metrics": (metrics, ExportMetricsServiceResponse),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 404, b""
        if self.path in PATHS and self.headers["Content-Type"] == "application/x-protobuf":
            read, response = PATHS[self.path]
            status, answer = 503, b"later"
            if not os.path.exists(busy):
                status, answer = 200, response().SerializeToString()
                for line in read(body):
                    sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
