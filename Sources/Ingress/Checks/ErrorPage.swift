import NIOHTTP1

/// The body of an error answer: `{"code","message"}` (docs/wire.md#errors), or an HTML page for browsers.
struct ErrorPage: Hashable, Sendable {
    var contentType: String
    var text: String

    static func plain(_ text: String) -> ErrorPage { ErrorPage(contentType: "text/plain; charset=utf-8", text: text) }

    static func of(_ error: ProxyError, for request: HTTPRequestHead) -> ErrorPage {
        guard prefersHTML(request.headers) else {
            return ErrorPage(
                contentType: "application/json",
                text: #"{"code":"\#(escapedJSON(error.code))","message":"\#(escapedJSON(error.message))"}"#)
        }
        let title = "\(error.status.code) \(error.status.reasonPhrase)"
        return ErrorPage(
            contentType: "text/html; charset=utf-8",
            text: """
                <!doctype html><meta charset="utf-8"><title>\(title)</title>
                <h1>\(title)</h1><p>\(escapedHTML(error.message))</p><p><code>\(escapedHTML(error.code))</code></p>

                """)
    }

    /// Whether `Accept` has text/html, before application/json if that is there at all.
    static func prefersHTML(_ headers: HTTPHeaders) -> Bool {
        for type in headers[canonicalForm: "accept"] {
            let name = type.prefix { $0 != ";" }.lowercased()
            if name == "text/html" { return true }
            if name == "application/json" { return false }
        }
        return false
    }

    private static func escapedJSON(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..."\u{1f}": result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func escapedHTML(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            case "\"": result += "&quot;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
