import HTTPServer
import Metrics
import NIOHTTP1

/// What clients report of their creates: `sallyport_client_create_seconds`.
extension LifecycleAPI {
    func metricsEvent(_ request: HTTPRequest) async throws(APIError) -> Reply {
        let event = try MetricsEvent(try await json(request))
        Timer(
            label: "sallyport_client_create_seconds",
            dimensions: [
                ("language", SDKLanguage(userAgent: request.headers.first(name: "user-agent") ?? "").rawValue),
                ("success", "\(event.success)"),
            ]
        ).recordMilliseconds(event.milliseconds)
        return .empty(.noContent)
    }
}

/// The language of an official client. Others are one, since each label of a metric is kept for ever.
enum SDKLanguage: String, CaseIterable, Sendable {
    case python, javascript, typescript, go, java, kotlin, csharp, other

    /// - Parameter userAgent: `OpenSandbox-Python-SDK/1.1.1`.
    init(userAgent: String) {
        let parts = userAgent.prefix { $0 != "/" }.lowercased().split(separator: "-")
        let isOfficial = parts.count == 3 && parts[0] == "opensandbox" && parts[2] == "sdk"
        self = isOfficial ? SDKLanguage(rawValue: String(parts[1])) ?? .other : .other
    }
}
