import Runtimes
import Spelling

/// Quantities as Kubernetes writes them: `500m`, `1.5`, `512Mi`, `1G`, plain bytes.
enum ResourceQuantity {
    /// Thousandths of a processor, at least 1; nil if the text is not such a quantity.
    static func cpuMillis(_ text: String) -> Int? {
        let isMilli = text.hasSuffix("m")
        guard let value = decimal(isMilli ? text.dropLast() : text[...]) else { return nil }
        let millis = (isMilli ? value : value * 1000).rounded(.up)
        return (1...1_000_000).contains(millis) ? Int(millis) : nil
    }

    /// Bytes, at least 1; nil if the text is not such a quantity.
    static func bytes(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let value = decimal(digits), let factor = factors[String(text.dropFirst(digits.count))] else {
            return nil
        }
        let bytes = (value * factor).rounded(.up)
        return bytes >= 1 && bytes <= 1e15 ? Int64(bytes) : nil
    }

    private static let factors: [String: Double] = [
        "": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
        "Ki": 1024, "Mi": 1_048_576, "Gi": 1_073_741_824, "Ti": 1_099_511_627_776,
    ]

    private static func decimal(_ text: Substring) -> Double? {
        guard let first = text.first, first.isASCII, first.isNumber,
            text.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") })
        else { return nil }
        return Double(text)
    }
}

extension ResourceLimits {
    /// Less than this is not enough to start a process.
    private static let leastMemory: Int64 = 16 << 20
    static let leastDisk: Int64 = 16 << 20
    static let maxDisk: Int64 = 4 << 40

    /// The limits that a request does not give: those that official clients ask for by default.
    static let standard = ResourceLimits(cpuMillis: 1000, memoryBytes: 2 << 30)

    /// The supported keys of `resourceLimits`, which are those that can be enforced.
    private static let keys = ["cpu", "memory", "disk", "ephemeral-storage", "pids"]

    /// The limits in a request's `resourceLimits`, with the standard ones for the rest. The reference ignores unknown
    /// keys; here they are refused, because a limit that is silently not enforced is worse than none.
    ///
    /// - Parameter hasGPUs: whether the runtime can give a sandbox graphics processors.
    init(resources: [ExactName: String], hasGPUs: Bool = false) throws(APIError) {
        self = .standard
        let known = Self.keys + (hasGPUs ? ["gpu"] : [])
        for key in resources.keys.sorted().map(\.text) where !known.contains(key) {
            let hint = SimilarName.nearest(to: key, among: known).map { "; did you mean \($0)?" } ?? ""
            throw .parameter(
                "resourceLimits.\(key.prefix(64)) is not supported: use \(known.joined(separator: ", "))\(hint)")
        }
        if let text = resources["gpu"] {
            guard let count = text == "all" ? Self.allGPUs : Int(text).flatMap({ (1...1024).contains($0) ? $0 : nil })
            else {
                throw .parameter("resourceLimits.gpu '\(text.prefix(40))' is not all, or a number from 1 to 1024")
            }
            gpus = count
        }
        if let text = resources["cpu"] {
            guard let millis = ResourceQuantity.cpuMillis(text) else {
                throw .parameter("resourceLimits.cpu '\(text.prefix(40))' is not a CPU quantity: write 500m or 1.5")
            }
            cpuMillis = millis
        }
        if let text = resources["memory"] {
            guard let bytes = ResourceQuantity.bytes(text) else {
                throw .parameter(
                    "resourceLimits.memory '\(text.prefix(40))' is not a quantity: write 512Mi, 1G or bytes")
            }
            guard bytes >= Self.leastMemory else {
                throw .parameter("resourceLimits.memory '\(text.prefix(40))' is too little: give at least 16Mi")
            }
            memoryBytes = bytes
        }
        // Our name for it, and Kubernetes'.
        for key in ["disk", "ephemeral-storage"] {
            guard let text = resources[ExactName(key)] else { continue }
            guard let bytes = ResourceQuantity.bytes(text), bytes <= Self.maxDisk else {
                throw .parameter(
                    "resourceLimits.\(key) '\(text.prefix(40))' is not a quantity: write 10Gi, 500M or bytes")
            }
            guard bytes >= Self.leastDisk else {
                throw .parameter("resourceLimits.\(key) '\(text.prefix(40))' is too little: give at least 16Mi")
            }
            guard diskBytes == nil || diskBytes == bytes else {
                throw .parameter("resourceLimits.disk and resourceLimits.ephemeral-storage differ: give only one")
            }
            diskBytes = bytes
        }
        if let text = resources["pids"] {
            guard let count = Int(text), (16...4_194_304).contains(count) else {
                throw .parameter("resourceLimits.pids '\(text.prefix(40))' is not a number from 16 to 4194304")
            }
            processes = count
        }
    }
}
