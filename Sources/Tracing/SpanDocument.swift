import JSON

/// An export of spans in OTLP's JSON: opentelemetry-proto's `ExportTraceServiceRequest` by the protobuf JSON mapping, with ids as
/// hexadecimal digits, numbers of 64 bits as texts and enumerations as numbers (OTLP specification 1.x, "JSON Protobuf Encoding").
package struct SpanDocument: Sendable {
    /// Bytes of one text; what is longer is cut.
    private static let maxText = 1024

    package var resource: [SpanRecord.Attribute]
    /// Who made the spans.
    package var scope: String
    package var version: String
    package var spans: [SpanRecord]

    package init(_ spans: [SpanRecord], resource: [SpanRecord.Attribute], scope: String, version: String) {
        (self.spans, self.resource, self.scope, self.version) = (spans, resource, scope, version)
    }

    package var encoded: [UInt8] {
        let scope: JSONValue = .object(["name": .string(scope), "version": .string(version)])
        let spans: JSONValue = .object(["scope": scope, "spans": .array(spans.map(Self.value))])
        let resource: JSONValue = .object(["attributes": Self.attributes(resource)])
        let all: JSONValue = .object(["resource": resource, "scopeSpans": .array([spans])])
        return JSONValue.object(["resourceSpans": .array([all])]).encoded
    }

    private static func value(_ span: SpanRecord) -> JSONValue {
        var value: JSONObject = [
            "traceId": .string(span.context.traceDigits),
            "spanId": .string(TraceContext.digits(span.context.span)),
            "name": .string(cut(span.name)),
            "kind": .integer(.init(span.kind.rawValue)),
            "startTimeUnixNano": .string("\(span.start)"),
            "endTimeUnixNano": .string("\(max(span.start, span.end))"),
            "flags": .integer(.init(span.context.flags)),
        ]
        if let parent = span.parent { value.set("parentSpanId", .string(TraceContext.digits(parent))) }
        if !span.context.state.text.isEmpty { value.set("traceState", .string(span.context.state.text)) }
        if !span.attributes.isEmpty { value.set("attributes", attributes(span.attributes)) }
        if let failure = span.failure {
            // STATUS_CODE_ERROR
            value.set("status", .object(["code": .integer(2), "message": .string(cut(failure))]))
        }
        return .object(value)
    }

    package static func attributes(_ attributes: [SpanRecord.Attribute]) -> JSONValue {
        .array(
            attributes.map { attribute in
                let value: JSONObject =
                    switch attribute.value {
                    case .text(let text): ["stringValue": .string(cut(text))]
                    case .number(let number): ["intValue": .string("\(number)")]
                    }
                return .object(["key": .string(attribute.name), "value": .object(value)])
            })
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= maxText ? text : String(decoding: text.utf8.prefix(maxText), as: UTF8.self)
    }
}
