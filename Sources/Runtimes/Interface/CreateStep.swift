import Metrics
import Tracing

/// The steps of a create, each with a timer, `sallyport_create_step_seconds`, and a span where the create is traced.
enum CreateStep: String {
    case image, prepare, protect, start
    /// Of one that was made ahead.
    case policy, begin

    func timed<Result>(_ body: () async throws(RuntimeError) -> Result) async throws(RuntimeError) -> Result {
        let start = ContinuousClock.now
        defer {
            let (seconds, attoseconds) = (ContinuousClock.now - start).components
            Timer(label: "sallyport_create_step_seconds", dimensions: [("step", rawValue)])
                .recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        }
        return try await ActiveSpan.within("create." + rawValue) { () async throws(RuntimeError) in try await body() }
    }

    /// The span of waiting for execd, a part of the step that starts it.
    static let reach = "create.reach"
}
