import HTTPServer
import NIOHTTP1

/// Cross-origin sharing, open to every origin as the contract has it: the API key is the guard.
enum CrossOrigin {
    /// The answer to a browser's question whether it may send a request; nil for any other request.
    static func preflight(_ request: HTTPRequest) -> Reply? {
        guard request.method == .OPTIONS, request.headers.contains(name: "origin"),
            let method = request.headers.first(name: "access-control-request-method")
        else { return nil }
        var reply = Reply.empty(.ok)
        reply.headers.add(name: "access-control-allow-methods", value: method)
        if let names = request.headers.first(name: "access-control-request-headers") {
            reply.headers.add(name: "access-control-allow-headers", value: names)
        }
        reply.headers.add(name: "access-control-max-age", value: "600")
        return reply
    }

    static func allow(_ request: HTTPRequest, _ reply: inout Reply) {
        guard request.headers.contains(name: "origin") else { return }
        reply.headers.add(name: "access-control-allow-origin", value: "*")
        reply.headers.add(name: "access-control-expose-headers", value: "OPEN-SANDBOX-ORIGIN, X-Request-ID")
    }
}
