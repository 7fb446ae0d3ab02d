/// Where a request of the policy API goes. Matching is on the raw path, never normalised or decoded: a request
/// that the gateway relays beneath `/sandboxes/<id>` (`..`, encoded slashes, empty segments and all)
/// can name only that sandbox's own resources, or nothing.
enum PolicyRoute: Hashable, Sendable {
    case policy(String)
    case health(String)

    init?(rawPath: String) {
        let segments = rawPath.split(separator: "/", omittingEmptySubsequences: false)
        guard segments.count == 4, segments[0].isEmpty, segments[1] == "sandboxes",
            SandboxIdentifier.isValid(segments[2])
        else { return nil }
        switch segments[3] {
        case "policy": self = .policy(String(segments[2]))
        case "healthz": self = .health(String(segments[2]))
        default: return nil
        }
    }
}
