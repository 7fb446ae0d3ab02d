import HTTPServer
import JSON
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Spelling

/// The body of `POST /sandboxes`, checked (docs/wire.md#create).
struct CreateRequest: Sendable {
    /// Empty for that of its pool, and if a snapshot is given.
    var image: String
    var credentials: RegistryCredentials?
    /// The id of a snapshot to restore; nil if an image is given.
    var snapshot: String?
    var entrypoint: [String]
    /// As it was sent, where that was one text of several words.
    var sentEntrypoint: [String]?
    /// Seconds; nil if it stays until it is deleted.
    var timeout: Int?
    var environment: [ExactName: String]
    /// Variables of the operator's or the pool's that it is to do without: `env` has `null` for them.
    var absentVariables: Set<ExactName>
    var metadata: [String: String]
    var extensions: [String: String]
    var limits: ResourceLimits
    /// Whether `limits` were given; they need not be where there is a pool.
    var asksForLimits: Bool
    /// The pool that it is to be of.
    var poolRef: String?
    /// The variables of its pool's template, which `environment` goes over.
    var poolEnvironment: [ExactName: String] = [:]
    var platform: Platform?
    /// As it was asked for; nil if the request has none.
    var policy: Policy?
    /// What the sandbox gets: the operator's default where none was asked for.
    var effectivePolicy: Policy
    var secureAccess: Bool
    var volumes: [SandboxVolume]
    /// Of volumes that are buckets, by the volume's name.
    var bucketKeys: [String: BucketKeys]
    /// nil for none.
    var ports: PortRequest?

    static let shortestTimeout = 60
    /// The entrypoint of a restored sandbox whose request gives none (contract).
    static let restoredEntrypoint = ["tail", "-f", "/dev/null"]

    var source: SandboxSource { snapshot.map { .snapshot($0) } ?? .image(image, credentials: credentials) }

    /// The fields of the contract. At lower levels they are given where they are read.
    private static let fields = [
        "image", "snapshotId", "platform", "timeout", "resourceLimits", "resourceRequests", "env", "metadata",
        "lifecycle", "entrypoint", "networkPolicy", "credentialProxy", "secureAccess", "volumes", "extensions",
        "templateId",
    ]

    /// - Throws: `APIError`: 422 for violations of the contract's schema, 400 for violations of its rules.
    init(_ body: JSONValue, limits serverLimits: RequestLimits) throws(APIError) {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: Self.fields, problems: problems)
        try problems.check()
        if let refusal = Self.unsupportedShape(fields, serverLimits.capabilities) { throw refusal }

        let poolRef = Self.poolRef(fields), snapshot = fields.string("snapshotId")
        let image = fields.value("image") == nil && poolRef != nil ? nil : Self.image(fields)
        let entrypoint = fields.strings("entrypoint") ?? (snapshot == nil ? [] : Self.restoredEntrypoint)
        if entrypoint.isEmpty && (poolRef == nil || fields.value("entrypoint") != nil)
            || entrypoint.first?.isEmpty == true
        {
            fields.problem("entrypoint", "entrypoint is required when image is given, and cannot be empty")
        }
        let resources = fields.texts("resourceLimits")
        if poolRef == nil, !fields.mentions("resourceLimits") { fields.missing("resourceLimits") }
        let timeout = fields.integer("timeout")
        if let timeout, timeout < Self.shortestTimeout {
            fields.problem(
                "timeout", "Input should be greater than or equal to \(Self.shortestTimeout)",
                type: "greater_than_equal")
        }
        if let timeout, timeout > RequestLimits.maxLife {
            fields.problem(
                "timeout", "Input should be less than or equal to \(RequestLimits.maxLife)", type: "less_than_equal"
            )
        }
        let environment = fields.texts("env") ?? [:]
        if environment.keys.contains("OPENSANDBOX_LIFECYCLE") {
            fields.problem("env", "OPENSANDBOX_LIFECYCLE is set by the server")
        }
        let metadata = fields.texts("metadata") ?? [:], extensions = fields.texts("extensions") ?? [:]
        for (field, entries) in [("metadata", metadata), ("extensions", extensions)] where Self.texts(entries) == nil {
            fields.problem(field, "Two names are the same text in two spellings")
        }
        let secureAccess = fields.bool("secureAccess") ?? false
        let platform = Platform(fields)
        let wantsProxy = fields.object("credentialProxy", known: ["enabled"])?.bool("enabled") ?? false
        if wantsProxy, fields.value("networkPolicy") == nil {
            fields.problem("credentialProxy", "credentialProxy.enabled requires networkPolicy")
        }
        let requests = fields.texts("resourceRequests") ?? [:]
        let volumes = VolumeRequest.list(fields)
        try problems.check()
        guard !secureAccess || serverLimits.capabilities.secureAccess else {
            throw .parameter("secureAccess is not supported by this runtime: leave it out")
        }
        guard serverLimits.capabilities.networkPolicy || fields.value("networkPolicy") == nil else {
            throw .parameter(
                "networkPolicy cannot be enforced on this server, whose sandboxes share the machine's network "
                    + "(network_mode = \"host\"): leave it out")
        }
        if wantsProxy { throw .parameter("credentialProxy is not supported by this server: leave it out") }
        guard requests.values.allSatisfy({ $0 == nil }) else {
            throw .parameter("resourceRequests is not supported by this runtime, which reserves nothing")
        }

        self.poolRef = poolRef
        asksForLimits = resources?.isEmpty == false
        self.image = image?.uri ?? ""
        credentials = image?.credentials
        self.snapshot = snapshot
        self.entrypoint = entrypoint
        self.timeout = timeout
        self.environment = environment.compactMapValues { $0 }
        absentVariables = Set(environment.filter { $0.value == nil }.keys)
        self.metadata = Self.texts(metadata) ?? [:]
        self.extensions = Self.texts(extensions) ?? [:]
        self.secureAccess = secureAccess
        self.platform = platform
        self.limits = try ResourceLimits(
            resources: (resources ?? [:]).compactMapValues { $0 }, hasGPUs: serverLimits.capabilities.gpu)
        policy = try Self.policy(fields, serverLimits)
        effectivePolicy = policy ?? serverLimits.defaultPolicy ?? .allowAll
        (self.volumes, bucketKeys) = ([], [:])
        try checkRules(serverLimits)
        if let words = try EntrypointWords.split(entrypoint) {
            (self.entrypoint, sentEntrypoint) = (words, entrypoint)
            // Many short words take more room than their text.
            if let problem = ProcessTexts.problem(entrypoint: words, environment: self.environment) {
                throw .parameter(problem)
            }
        }
        (self.volumes, bucketKeys) = try VolumeRequest.checked(volumes)
        ports = try PortsRequest.read(self.extensions, serverLimits.capabilities)
        guard ports == nil || !secureAccess else {
            throw .parameter("secureAccess cannot be given with published ports, where nobody asks for a credential")
        }
        // Who asks for a credential, or for a sandbox that is there already, goes without.
        if !secureAccess, poolRef == nil { ports = PortsRequest.adding(serverLimits.published, to: ports) }
        try checkPool()
    }

    private static func poolRef(_ fields: Fields) -> String? {
        guard case .string(let name)? = fields.object("extensions", known: [])?.value("poolRef") else { return nil }
        let trimmed = name.filter { !$0.isWhitespace }
        return trimmed.isEmpty ? nil : trimmed
    }

    /// What is not the same in every sandbox of a pool has to be asked for without one.
    private func checkPool() throws(APIError) {
        guard poolRef != nil else { return }
        for (field, isGiven) in [
            ("snapshotId", snapshot != nil), ("volumes", !volumes.isEmpty), ("platform", platform != nil),
            ("image.auth", credentials != nil),
            ("extensions[\"\(Sandbox.isolationExtension)\"]", extensions[Sandbox.isolationExtension] == "enable"),
            ("extensions[\"\(PortsRequest.publish)\"]", ports != nil),
        ] where isGiven {
            throw .parameter("\(field) cannot be given with extensions.poolRef")
        }
    }

    /// The entries that are not `null`; nil if a String-keyed dictionary would lose one.
    private static func texts(_ entries: [ExactName: String?]) -> [String: String]? {
        let given = entries.compactMapValues { $0 }
        let texts = Dictionary(given.map { ($0.key.text, $0.value) }) { first, _ in first }
        return texts.count == given.count ? texts : nil
    }

    /// Refuses parts of the contract that this server does not support, before anything else is checked.
    private static func unsupportedShape(_ fields: Fields, _ capabilities: RuntimeCapabilities) -> APIError? {
        if fields.value("templateId") != nil {
            return APIError(
                .badRequest, "FSB::API_NOT_SUPPORTED",
                "templateId: templates are not supported by this server; give an image")
        }
        let extensions = ["poolRef", Sandbox.renewExtension, Sandbox.isolationExtension] + PortsRequest.extensions
        if fields.object("extensions", known: extensions)?.value("poolRef") != nil, !capabilities.pools {
            return APIError(
                .badRequest, "SANDBOX::UNSUPPORTED_POOL_REF", "extensions.poolRef is not supported by this runtime")
        }
        if fields.value("lifecycle") != nil {
            return .parameter("lifecycle hooks are not supported by this runtime")
        }
        if !capabilities.volumes, let volumes = fields.value("volumes"), volumes != .array([]) {
            return APIError(.badRequest, "VOLUME::UNSUPPORTED_BACKEND", "volumes are not supported by this runtime")
        }
        return nil
    }

    private static func image(_ fields: Fields) -> (uri: String, credentials: RegistryCredentials?)? {
        switch (fields.value("image") == nil, fields.value("snapshotId") == nil) {
        case (true, true): fields.problem("image", "exactly one of image and snapshotId must be given")
        case (false, false):
            fields.problems.add(at: fields.location, "exactly one of image and snapshotId must be given")
        case (true, false), (false, true): break
        }
        return ImageField.read(fields)
    }

    private static func policy(_ fields: Fields, _ limits: RequestLimits) throws(APIError) -> Policy? {
        guard let value = fields.value("networkPolicy") else { return nil }
        do {
            return try Policy.decode(value, presets: limits.presets)
        } catch {
            throw .parameter("networkPolicy: \(error)")
        }
    }

    private func checkRules(_ limits: RequestLimits) throws(APIError) {
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            guard let problem = MetadataLabel.problem(key: key, value: value) else { continue }
            throw APIError(.badRequest, "SANDBOX::INVALID_METADATA_LABEL", problem)
        }
        if let problem = MetadataLabel.problem("metadata", size: metadata) {
            throw APIError(.badRequest, "SANDBOX::INVALID_METADATA_LABEL", problem)
        }
        if let problem = MetadataLabel.problem("extensions", size: extensions) { throw .parameter(problem) }
        if let timeout, timeout > limits.maxTimeout {
            throw .parameter(
                "timeout \(timeout) is above this server's limit of \(limits.maxTimeout) seconds "
                    + "(server.max_sandbox_timeout_seconds)")
        }
        try Self.checkEnvironment(environment)
        guard !entrypoint.contains(where: { $0.utf8.contains(0) }) else {
            throw .parameter("entrypoint: a NUL byte cannot be passed to a process")
        }
        if let problem = ProcessTexts.problem(entrypoint: entrypoint, environment: environment) {
            throw .parameter(problem)
        }
        if let text = extensions[Sandbox.renewExtension] {
            guard let seconds = Int(text), Sandbox.renewalRange.contains(seconds) else {
                throw .parameter("extensions[\"\(Sandbox.renewExtension)\"] must be an integer from 300 to 86400")
            }
            guard seconds <= limits.maxTimeout else {
                throw .parameter(
                    "extensions[\"\(Sandbox.renewExtension)\"] is above this server's limit of \(limits.maxTimeout) seconds"
                )
            }
        }
        try platform?.check()
    }

    static func checkEnvironment(_ environment: [ExactName: String]) throws(APIError) {
        for (name, value) in environment {
            guard VariableName.isValid(name.text), !value.utf8.contains(0) else {
                throw .parameter("env: '\(name.text.prefix(80))' cannot be passed to a process")
            }
            if name.text.utf8.starts(with: "OPENSANDBOX_EGRESS_".utf8) {
                throw .parameter("env: \(name.text.prefix(80)) is set by the server; use networkPolicy")
            }
            guard name != "OPENSANDBOX_LIFECYCLE" else { throw .parameter("env: \(name.text) is set by the server") }
        }
    }
}

/// Limits for requests, from the server's settings.
struct RequestLimits: Sendable {
    /// Ten years, in seconds: the furthest end of any sandbox, whatever the settings say.
    static let maxLife = 315_360_000
    /// The most seconds from now to a sandbox's end, at creation and at renewal; up to `maxLife`.
    var maxTimeout = maxLife
    var presets = Presets.none
    /// Of requests without one; nil: such a sandbox reaches everything outside.
    var defaultPolicy: Policy?
    var capabilities = LocalRuntime.capabilities
    var codes = RuntimeCodes.docker
    /// Ports that are published of every sandbox.
    var published: [UInt16] = []
}
