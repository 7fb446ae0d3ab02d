import JSON
import NIOHTTP1
import Runtimes
import Spelling

/// One entry of a create's `volumes` whose names and shapes hold to the contract's schema (docs/volumes.md). What its
/// values may be is checked after that, in the order of the request.
struct VolumeRequest: Sendable {
    private enum Backend: Sendable {
        case host(path: String)
        case named(NamedVolumeClaim, storage: String?)
        case bucket(BucketClaim, BucketKeys)
    }

    private let name: String
    private let mountPath: String
    private let isReadOnly: Bool
    private let subPath: String?
    private let backend: Backend

    private static let backends = ["host", "pvc", "ossfs", "s3"]

    /// The entries of a request; what is wrong with them is added to its problems.
    static func list(_ fields: Fields) -> [VolumeRequest] {
        guard let value = fields.value("volumes") else { return [] }
        guard case .array(let items) = value else {
            fields.problem("volumes", "Input should be a valid list", type: "list_type")
            return []
        }
        // One more than there may be, by which `checked` sees that there are too many.
        return items.prefix(SandboxVolume.maxCount + 1).enumerated().compactMap { place, item in
            VolumeRequest(item, at: fields.location + ["volumes", String(place)], fields.problems)
        }
    }

    /// - Returns: nil if its shape is wrong.
    private init?(_ item: JSONValue, at location: [String], _ problems: Problems) {
        let fields = Fields(
            strict: item, at: location, known: ["name", "mountPath", "readOnly", "subPath"] + Self.backends, problems)
        let name = fields.required("name")
        if let name, !SandboxVolume.isName(name, upTo: 63) {
            fields.problem(
                "name", "a name must have 1 to 63 of a-z, 0-9 and -, and a letter or digit at both ends", .invalidName)
        }
        let mountPath = fields.required("mountPath")
        if let mountPath, mountPath.utf8.first != UInt8(ascii: "/") {
            fields.problem("mountPath", "a mountPath must begin with /", .invalidMountPath)
        }
        isReadOnly = fields.bool("readOnly") ?? false
        subPath = fields.string("subPath")
        let given = Self.backends.filter { fields.value($0) != nil }
        if given.count != 1 {
            problems.add(
                VolumeProblem.Code.invalidBackend.rawValue, at: location,
                "exactly one of \(Self.backends.joined(separator: ", ")) must be given")
        }
        let backend: Backend? =
            switch given.first {
            case "host": Self.host(fields)
            case "pvc": Self.named(fields)
            case "ossfs": Self.bucket(fields, "ossfs")
            case "s3": Self.bucket(fields, "s3")
            default: nil
            }
        guard let name, let mountPath, let backend else { return nil }
        (self.name, self.mountPath, self.backend) = (name, mountPath, backend)
    }

    private static func host(_ volume: Fields) -> Backend? {
        volume.part("host", known: ["path"]).required("path").map(Backend.host)
    }

    private static func named(_ volume: Fields) -> Backend? {
        let fields = volume.part(
            "pvc",
            known: [
                "claimName", "createIfNotExists", "deleteOnSandboxTermination", "storageClass", "storage",
                "accessModes",
            ])
        let claim = fields.required("claimName")
        if let claim, !SandboxVolume.isName(claim, upTo: 253) {
            fields.problem(
                "claimName", "a name must have 1 to 253 of a-z, 0-9 and -, and a letter or digit at both ends",
                .invalidClaimName)
        }
        let storage = fields.string("storage")
        if let storage, !isQuantity(storage) {
            fields.problem(
                "storage", "a size must be a number, with Ki, Mi, Gi, Ti, Pi or Ei after it or nothing",
                type: "string_pattern_mismatch")
        }
        // Hints for clusters, which mean nothing on one machine.
        _ = (fields.string("storageClass"), fields.strings("accessModes"))
        guard let claim else { return nil }
        return .named(
            NamedVolumeClaim(
                claim: claim, createsIfMissing: fields.bool("createIfNotExists") ?? true,
                goesWithSandbox: fields.bool("deleteOnSandboxTermination") ?? false), storage: storage)
    }

    /// - Parameter kind: `ossfs`, or `s3`, which is ours.
    private static func bucket(_ volume: Fields, _ kind: String) -> Backend? {
        let isS3 = kind == "s3"
        let fields = volume.part(
            kind,
            known: ["bucket", "endpoint", isS3 ? "region" : "version", "options", "accessKeyId", "accessKeySecret"])
        let (bucket, endpoint) = (fields.required("bucket"), fields.required("endpoint"))
        if let bucket, !(3...63).contains(bucket.unicodeScalars.count) {
            fields.problem("bucket", "a bucket's name must have 3 to 63 characters", .invalidBucket)
        }
        if endpoint?.isEmpty == true { fields.problem("endpoint", "an endpoint must not be empty", .invalidEndpoint) }
        let (id, secret) = (fields.required("accessKeyId"), fields.required("accessKeySecret"))
        for (field, key) in [("accessKeyId", id), ("accessKeySecret", secret)] where key?.isEmpty == true {
            fields.problem(field, "a key must not be empty", .invalidBucketKeys)
        }
        let region = isS3 ? fields.string("region") : nil
        let version =
            isS3
            ? .s3
            : fields.string("version").map { word in BucketClaim.Version.ossfs.first { $0.rawValue == word } } ?? .two
        if version == nil { fields.problem("version", "Input should be '1.0' or '2.0'", .invalidBucketVersion) }
        let options = fields.strings("options") ?? []
        guard let bucket, let endpoint, let id, let secret, let version else { return nil }
        return .bucket(
            BucketClaim(bucket: bucket, endpoint: endpoint, version: version, options: options, region: region),
            BucketKeys(id: id, secret: secret))
    }

    /// `^\d+(\.\d+)?(Ki|Mi|Gi|Ti|Pi|Ei)?$`
    private static func isQuantity(_ text: String) -> Bool {
        let number =
            ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains { text.hasSuffix($0) } ? text.dropLast(2) : text[...]
        let parts = number.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return (1...2).contains(parts.count)
            && parts.allSatisfy { part in
                !part.isEmpty && part.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            }
    }

    // MARK: Values

    /// What all volumes of a request come to.
    /// - Throws: 400 with the contract's code for the first mistake.
    static func checked(
        _ requests: [VolumeRequest]
    ) throws(APIError) -> (volumes: [SandboxVolume], keys: [String: BucketKeys]) {
        do throws(VolumeProblem) {
            guard requests.count <= SandboxVolume.maxCount else {
                throw VolumeProblem(.invalidParameter, "volumes: a sandbox has at most \(SandboxVolume.maxCount)")
            }
            var names: Set<String> = []
            for request in requests where !names.insert(request.name).inserted {
                throw VolumeProblem(.duplicateName, "volumes: two have the name \(request.name)")
            }
            var volumes: [SandboxVolume] = []
            var keys: [String: BucketKeys] = [:]
            var taken: [MountPath: String] = [:]
            for request in requests {
                let volume = try request.volume()
                if let other = taken.updateValue(volume.name, forKey: volume.mountPath) {
                    throw VolumeProblem(
                        .invalidMountPath,
                        "volumes \(other) and \(volume.name) have the same mountPath \(volume.mountPath)")
                }
                if case .bucket(_, let given) = request.backend { keys[request.name] = given }
                volumes.append(volume)
            }
            return (volumes, keys)
        } catch {
            throw APIError(error)
        }
    }

    private func volume() throws(VolumeProblem) -> SandboxVolume {
        let path = try MountPath(mountPath, of: name)
        let part = try subPath.flatMap { text throws(VolumeProblem) in try SubPath(text, of: name) }
        return SandboxVolume(name: name, mountPath: path, isReadOnly: isReadOnly, subPath: part, source: try source())
    }

    private func source() throws(VolumeProblem) -> SandboxVolume.Source {
        switch backend {
        case .host(let path): return .host(try HostPath(path, of: name))
        case .named(var claim, let storage):
            if let storage {
                guard let bytes = ResourceQuantity.bytes(storage), bytes <= ResourceLimits.maxDisk,
                    bytes >= ResourceLimits.leastDisk
                else {
                    throw VolumeProblem(.invalidParameter, "pvc.storage of volume \(name) is not from 16Mi to 4Ti")
                }
                claim.bytes = bytes
            }
            return .named(claim)
        case .bucket(let claim, let keys):
            func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }
            if isBlank(claim.bucket) { throw VolumeProblem(.invalidBucket, "the bucket of volume \(name) is blank") }
            if isBlank(claim.endpoint) {
                throw VolumeProblem(.invalidEndpoint, "the endpoint of volume \(name) is blank")
            }
            try claim.check(keys, of: name)
            return .bucket(claim)
        }
    }
}

extension APIError {
    init(_ problem: VolumeProblem) {
        self.init(
            problem.code.isCallersFault ? .badRequest : .internalServerError, problem.code.rawValue, problem.description
        )
    }
}

extension Fields {
    /// An object that may have no other fields: of a volume, an option that is passed over could leave it open.
    fileprivate init(strict value: JSONValue, at location: [String], known: [String], _ problems: Problems) {
        self.init(value, at: location, known: known, problems: problems)
        guard case .object(let object) = value else { return }
        for member in object.members
        where !known.contains(member.name) && SimilarName.misspelt(member.name, of: known) == nil {
            problems.add(
                "extra_forbidden", at: location + [String(member.name.prefix(64))], "Extra inputs are not permitted")
        }
    }

    /// A part that is there.
    fileprivate func part(_ name: String, known: [String]) -> Fields {
        Fields(strict: value(name) ?? .null, at: location + [name], known: known, problems)
    }

    fileprivate func required(_ name: String) -> String? {
        if !mentions(name) || (value(name) == nil) {
            missing(name)
            return nil
        }
        return string(name)
    }

    fileprivate func problem(_ name: String, _ message: String, _ code: VolumeProblem.Code) {
        problem(name, message, type: code.rawValue)
    }
}
