import JSON

/// What an engine is told to write into the image that it makes of a container (`POST /commit`). Left to itself it would write the
/// container's settings, which are this server's: execd as the program, and labels by which sandboxes are known.
struct CommittedImage: Equatable, Sendable {
    private let configuration: JSONValue
    private let labels: [String]
    private let owner: String

    /// - Parameters:
    ///   - image: of the container, as the engine tells of it.
    ///   - labels: the names of the container's.
    init(of image: JSONValue, labels: [String], owner: String) {
        configuration = image["Config"] ?? .null
        self.labels = labels
        self.owner = owner
    }

    var json: JSONValue {
        var own = JSONObject()
        // None can be left out: what is not said is the container's.
        for name in labels.sorted() { own.set(name, configuration["Labels"]?[name] ?? .string("")) }
        own.set(DockerNames.snapshotOwnerKey, .string(owner))
        var whole: JSONObject = [
            "User": configuration["User"] ?? .string(""), "Labels": .object(own),
            "Entrypoint": list("Entrypoint"), "Cmd": list("Cmd"),
        ]
        if let check = configuration["Healthcheck"], !check.isNull { whole.set("Healthcheck", check) }
        return .object(whole)
    }

    /// An empty list is one, where no list means the container's.
    private func list(_ name: String) -> JSONValue {
        guard case .array(let words)? = configuration[name] else { return .array([]) }
        return .array(words)
    }
}
