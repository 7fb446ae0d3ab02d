#if canImport(Glibc)
    import Glibc
#endif

/// Descriptors of a control group's member files, one for each hierarchy, through which a process can join the group.
///
/// They were opened by whoever made the sandbox. Inside the sandbox, control groups are read-only.
struct MemberFiles: Hashable, Sendable, CustomStringConvertible {
    var descriptors: [CInt] = []

    private static let maxCount = 16

    init(_ descriptors: [CInt] = []) { self.descriptors = descriptors }

    /// Reads `3,4,5`; nil if it is not such a list.
    init?(_ text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        descriptors = parts.compactMap { CInt($0) }.filter { (3...1023).contains($0) }
        guard descriptors.count == parts.count, parts.count <= Self.maxCount else { return nil }
    }

    var isEmpty: Bool { descriptors.isEmpty }
    var description: String { descriptors.map(String.init).joined(separator: ",") }

    /// The same group in a process that got these descriptors and no others.
    var passed: MemberFiles { MemberFiles(descriptors.indices.map { CInt(3 + $0) }) }

    /// Moves this process into the group. It must have only one thread. The descriptors are closed, so it cannot
    /// return.
    /// - Returns: 0, or the errno of the failure.
    func enter() -> CInt {
        for descriptor in descriptors {
            guard write(descriptor, "0", 1) == 1 else { return errno }
            close(descriptor)
        }
        return 0
    }
}
