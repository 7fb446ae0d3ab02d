/// The route of a policy API request. The raw path is matched, without normalising or decoding it, so that a request
/// that the gateway relays below `/sandboxes/<id>` cannot name another sandbox's resources, whatever `..`, encoded
/// slashes or empty segments it has.
enum PolicyRoute: Hashable, Sendable {
    case policy(String)
    case health(String)
    case explanation(String)
    case suggestion(String)
    case events(String)

    init?(rawPath: String) {
        let segments = rawPath.split(separator: "/", omittingEmptySubsequences: false)
        guard (4...5).contains(segments.count), segments[0].isEmpty, segments[1] == "sandboxes",
            SandboxIdentifier.isValid(segments[2])
        else { return nil }
        let id = String(segments[2])
        switch segments[3...].map(String.init) {
        case ["policy"]: self = .policy(id)
        case ["policy", "explain"]: self = .explanation(id)
        case ["policy", "suggestion"]: self = .suggestion(id)
        case ["healthz"]: self = .health(id)
        case ["events"]: self = .events(id)
        default: return nil
        }
    }
}
