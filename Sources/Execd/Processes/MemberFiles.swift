#if canImport(Glibc)
    import Glibc
#endif

/// A control group, by which a process gets into it: descriptors of its files of members, one for each hierarchy that it is in.
///
/// Who made the sandbox has opened them. Inside, control groups are read-only, and belong to nobody's root.
struct MemberFiles: Hashable, Sendable, CustomStringConvertible {
    var descriptors: [CInt] = []

    private static let maxCount = 16

    init(_ descriptors: [CInt] = []) { self.descriptors = descriptors }

    /// Reads `3,4,5`; nil where it is no such list.
    init?(_ text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        descriptors = parts.compactMap { CInt($0) }.filter { (3...1023).contains($0) }
        guard descriptors.count == parts.count, parts.count <= Self.maxCount else { return nil }
    }

    var isEmpty: Bool { descriptors.isEmpty }
    var description: String { descriptors.map(String.init).joined(separator: ",") }

    /// The same group in a process that was passed these descriptors and no others.
    var passed: MemberFiles { MemberFiles(descriptors.indices.map { CInt(3 + $0) }) }

    /// Moves this process, while it has one thread; the way back is closed with it.
    /// - Returns: 0, or the errno of what failed.
    func enter() -> CInt {
        for descriptor in descriptors {
            guard write(descriptor, "0", 1) == 1 else { return errno }
            close(descriptor)
        }
        return 0
    }
}
