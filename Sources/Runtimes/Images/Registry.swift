import SafeText

#if canImport(Glibc)
    import Glibc
#endif

/// Queries registries and fetches images, with skopeo.
struct Registry: Sendable {
    let skopeo: Tool
    /// Host and port of registries without TLS.
    let insecure: Set<String>
    /// The disk space that fetching must leave.
    var reserve: DiskReserve?

    private static let (askMilliseconds, fetchMilliseconds) = (60_000, 900_000)

    /// The registry's present digest for a reference: of the manifest, or of the list of manifests. That the registry
    /// answers proves that the caller may read the image.
    ///
    /// - Parameter folder: an empty folder for this call only.
    func digest(
        of reference: ImageReference, _ credentials: RegistryCredentials?, in folder: String
    ) throws(ImageError) -> String {
        let verb = ["inspect", "--no-tags", "--format", "{{.Digest}}"]
        let output = try run(
            verb, "--tls-verify", [Self.address(of: reference)], reference, credentials, folder, Self.askMilliseconds)
        let digest = String(output.prefix { !$0.isWhitespace })
        guard ImageReference.isDigest(digest) else {
            throw .pullFailed(reference.description, reason: "the registry names no digest")
        }
        return digest
    }

    /// Fetches this machine's image of a manifest into an OCI layout (OCI image specification, image layout).
    func fetch(
        _ reference: ImageReference, digest: String, _ credentials: RegistryCredentials?, to layout: String,
        in folder: String
    ) throws(ImageError) {
        // Fetch by digest, not by tag, which may have moved since the query.
        let places = ["docker://\(reference.name)@\(digest)", "oci:\(layout):\(OCILayout.name)"]
        _ = try run(
            ["copy", "--quiet", "--retry-times", "2"], "--src-tls-verify", places, reference, credentials, folder,
            Self.fetchMilliseconds)
    }

    /// Pushes the image of a layout.
    /// - Parameter credentials: a file as containers-auth.json(5) has it; nil for none.
    func push(
        _ layout: OCILayout, to reference: ImageReference, credentials: String?, in folder: String
    ) throws(ImageError) {
        let file = credentials ?? folder + "/auth.json"
        if credentials == nil { try RegistryCredentials.write(nil, registry: reference.registry, to: file) }
        do throws(ImageError) {
            _ = try run(
                ["copy", "--quiet", "--retry-times", "2"], "--dest-tls-verify",
                ["oci:\(layout.path):\(OCILayout.name)", Self.address(of: reference)], reference, authFile: file,
                folder,
                Self.fetchMilliseconds)
        } catch {
            switch error {
            case .pullFailed(let image, let reason): throw .pushFailed(image, reason: reason)
            case .notFound(let image): throw .pushFailed(image, reason: "its registry knows no such repository")
            case .timedOut(let image, let seconds): throw .pushFailed(image, reason: "it took more than \(seconds) s")
            default: throw error
            }
        }
    }

    /// skopeo accepts a tag or a digest, not both.
    static func address(of reference: ImageReference) -> String {
        "docker://" + reference.name + (reference.digest.map { "@" + $0 } ?? ":" + (reference.tag ?? "latest"))
    }

    private func run(
        _ verb: [String], _ verification: String, _ places: [String], _ reference: ImageReference,
        _ credentials: RegistryCredentials?, _ folder: String, _ milliseconds: Int
    ) throws(ImageError) -> String {
        let authFile = folder + "/auth.json"
        try RegistryCredentials.write(credentials, registry: reference.registry, to: authFile)
        defer { unlink(authFile) }
        return try run(
            verb, verification, places, reference, authFile: authFile, folder, milliseconds
        ) { credentials?.scrub($0) ?? $0 }
    }

    /// - Parameter scrub: takes secrets out of what skopeo complains.
    private func run(
        _ verb: [String], _ verification: String, _ places: [String], _ reference: ImageReference, authFile: String,
        _ folder: String, _ milliseconds: Int, scrub: (String) -> String = { $0 }
    ) throws(ImageError) -> String {
        let plain = Self.isLoopback(reference.registry) || insecure.contains(reference.registry)
        let options = ["--authfile", authFile] + (plain ? [verification + "=false"] : [])
        let outcome = try skopeo.run(
            verb + options + places, home: folder, milliseconds: milliseconds, reserve: reserve)
        if let shortage = outcome.shortage { throw .tooLarge(reference.familiar, reason: "\(shortage)") }
        guard let code = outcome.code else { throw .timedOut(reference.familiar, seconds: milliseconds / 1000) }
        guard code == 0 else {
            throw Self.error(scrub(outcome.errors), for: reference)
        }
        return outcome.output
    }

    static func isLoopback(_ registry: String) -> Bool {
        let host = registry.hasPrefix("[") ? registry : String(registry.prefix { $0 != ":" })
        let bytes = host.split(separator: ".", omittingEmptySubsequences: false)
        let isLoopbackV4 = bytes.count == 4 && bytes[0] == "127" && bytes.allSatisfy { UInt8($0) != nil }
        return host == "localhost" || host.hasPrefix("[::1]") || isLoopbackV4
    }

    /// Interprets skopeo's error output, whose texts come from containers/image and from registries.
    static func error(_ complaint: String, for reference: ImageReference) -> ImageError {
        let image = reference.familiar
        // The last line is the fatal one: time="…" level=fatal msg="…"
        let last = complaint.split(separator: "\n").last.map(String.init) ?? "skopeo printed nothing"
        let message = last.firstRange(of: "msg=").map { String(last[$0.upperBound...]) } ?? last
        // A repository may be called "unauthorized".
        var text = message
        for own in [reference.name, "manifest \(reference.tag ?? "-") "] {
            text = text.split(separator: own, omittingEmptySubsequences: false).joined(separator: " ")
        }
        text = text.lowercased()
        func says(_ any: String...) -> Bool { any.contains { text.contains($0) } }

        if says("unauthorized", "authentication required", "invalid username/password", "forbidden")
            || (says("denied") && !says("permission denied"))
        {
            return .unauthorized(image)
        }
        if says("no image found in") {
            return .unsupportedPlatform(image, platform: ImagePlatform.current.description)
        }
        if says("manifest unknown", "name unknown", "not found", "status: 404", "404 (") { return .notFound(image) }
        let reason = ForeignText.escaped(message, limit: 400)
        if says("http response to https") {
            return .unreachable(
                registry: reference.registry,
                reason: "it has no TLS: add it to local.insecure_registries if that is intended")
        }
        if says(
            "dial tcp", "connection refused", "no such host", "i/o timeout", "server misbehaving", "unreachable",
            "x509", "tls:",
            "no route to host", "connection reset", "deadline exceeded")
        {
            return .unreachable(registry: reference.registry, reason: reason)
        }
        return .pullFailed(image, reason: reason)
    }
}
