import HTTPServer
import Metrics
import Synchronization

/// Counts what the lifecycle API refuses, and what it fails at, by the code of the answer and the route.
final class RequestRefusals: Sendable {
    struct Series: Hashable {
        var code: String
        var route: String
    }

    private let state = Mutex<(codes: Set<String>, counters: [Series: Counter])>(([], [:]))

    /// Codes are ours and fewer than this; a series is kept for ever, so that a mistake must not make one of each answer.
    static let maxCodes = 200
    private static let maxBytes = 64
    private static let other = "OTHER"

    func note(_ answered: AnsweredRequest) {
        guard let series = series(of: answered) else { return }
        let counter = state.withLock { state in
            if let counter = state.counters[series] { return counter }
            let counter = Counter(
                label: "sallyport_http_refusals_total",
                dimensions: [("code", series.code), ("http_route", series.route)])
            state.counters[series] = counter
            return counter
        }
        counter.increment()
    }

    /// Where an answer counts; nil where it is no refusal.
    func series(of answered: AnsweredRequest) -> Series? {
        guard answered.status >= 400 else { return nil }
        return Series(code: known(RequestAudit.code(answered.reply)), route: answered.route ?? "unknown")
    }

    private func known(_ code: String?) -> String {
        guard let code, !code.isEmpty, code.utf8.count <= Self.maxBytes else { return Self.other }
        return state.withLock { state in
            guard state.codes.contains(code) || state.codes.count < Self.maxCodes else { return Self.other }
            state.codes.insert(code)
            return code
        }
    }
}
