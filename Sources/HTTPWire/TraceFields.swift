import NIOHTTP1
import Tracing

extension TraceContext {
    /// What a request says of its trace; nil where it says nothing, says it twice, or says it wrongly.
    package init?(_ headers: HTTPHeaders) {
        let fields = headers["traceparent"]
        guard fields.count == 1 else { return nil }
        self.init(traceparent: fields[0], state: headers["tracestate"])
    }
}

extension Tracer {
    /// A span for a request that a server or a gateway has received, with the attributes of OpenTelemetry's conventions for HTTP.
    /// - Parameter route: of few values; nil where there is none.
    package func begin(_ head: HTTPRequestHead, route: String?) -> ActiveSpan {
        let method = RequestMethod.known(head.method)
        let name = (method ?? "HTTP") + (route.map { " " + $0 } ?? "")
        let span = begin(name, parent: TraceContext(head.headers))
        guard span.context.isSampled else { return span }
        span.set("http.request.method", .text(method ?? "_OTHER"))
        if let route { span.set("http.route", .text(route)) }
        return span
    }
}

extension ActiveSpan {
    /// Notes the status of the answer. What the server is to blame for is an error, and what the client is to blame for is none.
    package func answered(_ status: Int) {
        set("http.response.status_code", .number(status))
        if status >= 500 { fail("status \(status)") }
    }
}

package enum RequestMethod {
    private static let names: Set = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]

    /// - Returns: nil for any other text of a client, which would be a name of its own in traces and metrics.
    package static func known(_ method: HTTPMethod) -> String? {
        names.contains(method.rawValue) ? method.rawValue : nil
    }
}
